import json

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

FRENCH = {"accept-language": "fr"}


def test_the_api_speaks_english_to_everybody(client: Client) -> None:
    response = client.get("/train", headers=FRENCH)
    assert response.json()["error"] == 'Method "GET" not allowed.'
    response = client.get("/train/status?session=x", headers=FRENCH)
    assert response.json()["validation_errors"] == ["session: A valid integer is required."]


def test_the_admin_speaks_its_readers_language_and_leaves_none_behind(client: Client) -> None:
    assert '<html lang="fr"' in client.get("/admin/login/", headers=FRENCH).content.decode()
    refused = client.post("/train", json.dumps("x"), content_type="text/plain", headers=FRENCH)
    assert refused.json()["error"] == 'Unsupported media type "text/plain" in request.'
