import pytest

from predictions import predictor
from predictions.predictor import Predictor
from tests.predictions.published import publish_version
from training.models import ModelVersion


@pytest.fixture(autouse=True)
def own_predictor(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """The process's predictor, as it is when the process starts."""
    fresh = Predictor()
    monkeypatch.setattr(predictor, "_predictor", fresh)
    return fresh


@pytest.fixture
def version(db: None) -> ModelVersion:
    """An active version with real files."""
    return publish_version(is_active=True)
