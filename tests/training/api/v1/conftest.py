"""Callers of /api/v1/: nobody, somebody without access, and somebody with the permissions of the test."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from tests.factories import UserFactory

ClientOf = Callable[..., APIClient]


def granted(*permissions: str) -> User:
    """A user with exactly these, such as "training.view_anomaly"."""
    user = UserFactory.create()
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def client_of(db: None) -> ClientOf:
    def make(*permissions: str) -> APIClient:
        client = APIClient()
        client.force_authenticate(granted(*permissions))
        return client

    return make


@pytest.fixture
def reader(client_of: ClientOf) -> APIClient:
    return client_of("training.view_anomaly")


@pytest.fixture
def reviewer(client_of: ClientOf) -> APIClient:
    return client_of("training.view_anomaly", "training.review_anomaly")


@pytest.fixture
def reporter(client_of: ClientOf) -> APIClient:
    return client_of("training.add_anomaly")
