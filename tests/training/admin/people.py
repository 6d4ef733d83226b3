"""Who knocks at the admin, and what it says to them."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client

from tests.factories import UserFactory, user_with


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def superuser() -> Client:
    return client_of(UserFactory.create(username="owner", is_staff=True, is_superuser=True))


def staff(*permissions: str) -> Client:
    """Somebody of the staff with exactly these permissions."""
    user = user_with(*permissions)
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    return client_of(user)


def user_of(client: Client) -> User:
    return User.objects.get(pk=client.session["_auth_user_id"])


def said(response: Any) -> list[str]:
    """The messages that the answer leaves for the next page."""
    return [str(message) for message in get_messages(response.wsgi_request)]
