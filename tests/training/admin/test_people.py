import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from rest_framework.authtoken.models import Token

from tests.factories import UserFactory
from tests.training.admin.people import said, staff, superuser

pytestmark = pytest.mark.django_db
TOKENS = reverse("admin:authtoken_tokenproxy_changelist")
EVERY_TOKEN_PERMISSION = tuple(f"authtoken.{verb}_tokenproxy" for verb in ("view", "add", "change", "delete"))


def test_a_key_is_shown_once_when_it_is_made() -> None:
    user = UserFactory.create()
    client = superuser()
    response = client.post(reverse("admin:authtoken_tokenproxy_add"), {"user": user.pk})
    key = Token.objects.get(user=user).key
    assert response.status_code == 302
    assert key in said(response)[0]
    client.get(reverse("admin:index"))  # shows the message
    html = client.get(TOKENS).content.decode()
    assert f"{key[:6]}…" in html
    assert key not in html


def test_keys_are_for_superusers_whatever_permissions_others_have() -> None:
    token = Token.objects.create(user=UserFactory.create())
    client = staff(*EVERY_TOKEN_PERMISSION)
    page = reverse("admin:authtoken_tokenproxy_change", args=[token.user_id])
    add = reverse("admin:authtoken_tokenproxy_add")
    delete = reverse("admin:authtoken_tokenproxy_delete", args=[token.user_id])
    assert [client.get(url).status_code for url in (TOKENS, page, add, delete)] == [403] * 4
    assert "API tokens" not in client.get(reverse("admin:index")).content.decode()


def test_a_user_is_made_with_a_password_and_permissions() -> None:
    client = superuser()
    password = {"usable_password": "true", "password1": "vapeur-42-haute", "password2": "vapeur-42-haute"}
    response = client.post(reverse("admin:auth_user_add"), {"username": "ines", **password})
    assert response.status_code == 302
    user = User.objects.get(username="ines")
    assert user.check_password("vapeur-42-haute")
    review = Permission.objects.get(codename="review_anomaly")
    page = reverse("admin:auth_user_change", args=[user.pk])
    data = {
        "username": "ines",
        "is_staff": "on",
        "is_active": "on",
        "user_permissions": [review.pk],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "08:00:00",
    }
    assert client.post(page, data).status_code == 302
    assert User.objects.get(pk=user.pk).has_perm("training.review_anomaly")


def test_a_failed_login_can_be_forgiven_by_who_may() -> None:
    attempt = AccessAttempt.objects.create(
        username="ines",
        ip_address="127.0.0.1",
        user_agent="x",
        path_info="/admin/login/",
        failures_since_start=5,
    )
    delete = reverse("admin:axes_accessattempt_delete", args=[attempt.pk])
    assert staff("axes.view_accessattempt").post(delete, {"post": "yes"}).status_code == 403
    client = staff("axes.view_accessattempt", "axes.delete_accessattempt")
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not AccessAttempt.objects.exists()
