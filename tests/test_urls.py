import pytest
from django.test import Client
from django.urls import resolve


def test_the_root_leads_to_the_admin(client: Client) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.parametrize(
    "path",
    [
        "/train",
        "/train/status",
        "/train/reload",
        "/train/backups",
        "/train/restore/backup_20241205_143022",
        "/predict",
        "/health",
        "/models/info",
        "/models/metrics",
        "/api/v1/anomalies/",
        "/api/v1/docs/",
        "/admin/",
    ],
)
def test_each_contract_has_its_exact_path(path: str) -> None:
    assert resolve(path).func is not None
