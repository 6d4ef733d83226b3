"""A bucket that can be cut off."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from anomalyproject.env import env_storage
from tests.storing import TestBucket
from tests.training.shelves.flaky import FlakyWay


@pytest.fixture
def way(bucket: TestBucket, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyWay]:
    """The only way to the bucket."""
    way = FlakyWay(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
    settings.STORAGES = settings.STORAGES | {"artifacts": env_storage("ARTIFACT_STORAGE", timeout=2)}
    yield way
    way.close()
