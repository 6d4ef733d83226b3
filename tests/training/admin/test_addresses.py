"""Addresses as people and strangers write them."""

import base64
import pickle
from typing import Any

import pytest
from django.test import Client

from tests.factories import ApprovedFactory
from tests.training.admin.people import superuser
from training.models import Anomaly

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/login", "/admin/training/anomaly", "/admin/training", "/admin/training/anomaly/7"],
)
@pytest.mark.parametrize("query", ["", "?q=fuite&o=-1"])
def test_a_slash_that_is_missing_is_added(client: Client, path: str, query: str) -> None:
    for method in (client.get, client.head):
        response = method(path + query)
        assert (response.status_code, response["Location"]) == (301, f"{path}/{query}")


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/anomalies"])
def test_a_browser_is_led_to_the_slash_and_a_client_told_that_there_is_nothing(
    client: Client, path: str
) -> None:
    response = client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response["Location"]) == (301, f"{path}/")
    for headers in ({}, {"Accept": "application/json"}):
        assert client.get(path, headers=headers).status_code == 404
    assert client.post(path, headers={"Accept": "text/html"}).status_code == 404


@pytest.mark.parametrize(
    "path", ["/admin/nothing", "/adminx", "/train/", "/train/status/", "/api/v1/anomalies"]
)
def test_nowhere_else(client: Client, path: str) -> None:
    assert client.get(path).status_code in {302, 404}
    assert client.get(path).headers.get("Location", "/admin/login/").startswith("/admin/login/")


@pytest.mark.parametrize("path", ["/admin", "/admin/login", "/admin/training/anomaly"])
def test_a_form_is_not_sent_elsewhere(client: Client, path: str) -> None:
    assert client.post(path, {"a": "b"}).status_code in {302, 404}
    assert client.post(path, {"a": "b"}).headers.get("Location", "").count("/login/") in {0, 1}


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/?x=%00", "/admin/training/anomaly/?q=%00", "/admin/training/anomaly/?%00=1"),
        *("/admin/training/anomaly/%00/change/", "/admin/django_q/success/%00/change/"),
        *("/admin/django_q/failure/a%00b/", "/admin/training/anomaly/equipment/?term=%00"),
        *("/admin/training/anomaly/review/?section=%00", "/admin/training/anomaly/export/?section=%00"),
        "/admin/training/modelversion/1/held-out/?score=%00",
    ],
)
def test_a_nul_is_refused_on_both_databases(path: str) -> None:
    response = superuser().get(path)
    assert response.status_code == 400
    assert "This address or form cannot be read" in response.content.decode()


def test_a_nul_in_a_form_is_refused_too() -> None:
    response = superuser().post("/admin/training/anomaly/", {"action": "approve\0", "_selected_action": "1"})
    assert response.status_code == 400


@pytest.mark.parametrize("key", ["x", "", "1.5", "99999999999999999999", "-1", "٣"])
def test_an_action_on_rows_that_cannot_be_changes_nothing(key: str) -> None:
    anomaly = ApprovedFactory.create()
    response = superuser().post(
        "/admin/training/anomaly/", {"action": "reopen_selected", "_selected_action": key, "index": "0"}
    )
    assert response.status_code in {200, 302}
    assert Anomaly.objects.get() == anomaly


@pytest.mark.parametrize("query", ["created_at__year=0", "detected_at__gte=x", "nothing=1", "id__in=x"])
def test_an_export_of_what_cannot_be_listed_shows_the_page_without(query: str) -> None:
    ApprovedFactory.create()
    client = superuser()
    response = client.get(f"/admin/training/anomaly/export/?{query}", follow=True)
    assert response.redirect_chain == [("/admin/training/anomaly/export/", 302)]
    assert "it is shown without filters" in response.content.decode()


def test_a_list_says_that_it_left_its_filters_out() -> None:
    response = superuser().get("/admin/training/anomaly/?nothing=1", follow=True)
    assert response.redirect_chain == [("/admin/training/anomaly/?e=1", 302)]
    assert response.content.decode().count("it is shown without filters") == 1


def test_no_filter_loads_what_was_pickled() -> None:
    """A queue's arguments are pickled: whoever could have the address parsed could have code run."""
    sent = base64.b64encode(pickle.dumps(_Loaded())).decode()
    client = superuser()
    for field in ("args", "kwargs", "result", "payload"):
        for kind in ("success", "failure", "ormq"):
            client.get(f"/admin/django_q/{kind}/", {field: sent, f"{field}__in": sent, f"{field}__gte": sent})
    assert _Loaded.count == 0


class _Loaded:
    count = 0

    def __reduce__(self) -> Any:
        return _load, ()


def _load() -> None:
    _Loaded.count += 1
