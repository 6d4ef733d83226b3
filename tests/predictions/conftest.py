import pytest

from predictions import predictor
from predictions.predictor import State
from tests.predictions.published import publish_version
from training.models import ModelVersion


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are shown with the suggestions that there are: none is made."""
    monkeypatch.setattr(predictor, "current", State)


@pytest.fixture
def version(db: None) -> ModelVersion:
    """An active version with real files."""
    return publish_version(is_active=True)
