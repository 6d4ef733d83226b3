"""What the model says: about reports that are posted, and about the anomalies of the review queue."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from predictions import predictor
from predictions.models import Prediction
from predictions.predictor import LoadedModel, State
from predictions.validation import Report
from training import versions
from training.criticality import criticality_of, severity_of
from training.errors import ModelNotLoadedError
from training.frames import anomalies_frame
from training.ml.records import SCORE_COLUMNS, TARGETS, TEXT_COLUMNS
from training.models import Anomaly, ModelVersion, ScoreChange
from training.outages import DatabaseUnavailableError

if TYPE_CHECKING:  # as in predictor: scikit-learn is imported with the first model
    from training.ml.features import Reports
    from training.ml.scorer import Suggestion

CHUNK = 2_000  # anomalies scored and stored at a time: bounds memory and the length of a statement
LOOKED_AT = 10_000  # newest pending anomalies that a page looks at: bounds its time
STATED = TEXT_COLUMNS[1:]  # what a report says in words
DECIMALS = 4  # of probabilities and expected scores that are stored or answered


class TargetSuggestion(NamedTuple):
    """What the model suggests for one target of one anomaly."""

    score: int
    distribution: list[float]  # P(1) … P(5)
    expected: float
    confidence: float
    needs_attention: bool


# In the order of TARGETS.
SuggestedScores = tuple[TargetSuggestion, ...]


def serving_model() -> LoadedModel:
    """The model that answers now. Raises ModelNotLoadedError when there is none."""
    state = predictor.current()
    if state.loaded is None:
        raise ModelNotLoadedError(explain(state))
    return state.loaded


def last_known_model() -> LoadedModel:
    """The model that answers while the database does not. Raises DatabaseUnavailableError without one."""
    state = predictor.last_confirmed()
    if state.loaded is None:
        raise DatabaseUnavailableError
    return state.loaded


def explain(state: State) -> str:
    """What serves, and what to do when it is not what should."""
    serving = f"Version {state.loaded.version_id} serves" if state.loaded else "No model serves"
    if state.failure is not None:
        remedy = "Activate another version or restore a backup."
        if state.failure.is_incompatible:
            remedy = "Install the release that trained it on this node, or activate another version."
        return (
            f"{serving}: version {state.failure.version_id} is active but cannot be loaded"
            f" ({state.failure.reason.rstrip('.')}). {remedy}"
        )
    if state.loaded is None and state.is_loading:
        return "The model is being loaded. Please try again in a moment."
    if state.loaded is None:
        return _explain_none()
    return f"{serving}."


def _explain_none() -> str:
    """Return what to do without an active version: activate one that is there, or train."""
    newest = ModelVersion.objects.usable().first()
    if newest is None:
        return "No model is active: train one with POST /train, then activate it with POST /train/reload."
    door = " or with POST /train/reload" if newest == versions.newest_version() else ""
    return f"No model is active: activate version {newest.pk} in the admin{door}, or restore a backup."


def predict(*, reports: Sequence[Report], model: LoadedModel) -> Iterator[SuggestedScores]:
    """What the model suggests for each of the reports: one pass over one feature matrix."""
    return _suggested(model, stated(reports))


def stated(reports: Sequence[Report]) -> "Reports":
    """What they say, as the model reads it."""
    return {name: [getattr(report, name) for report in reports] for name in STATED}


def suggest(*, anomalies: Iterable[Anomaly]) -> int:
    """Store what the current model suggests for these anomalies; how many it had not seen before.

    An anomaly keeps the first suggestion of each version. Raises ModelNotLoadedError.
    """
    model, stored, remaining = serving_model(), 0, iter(anomalies)
    while chunk := list(islice(remaining, CHUNK)):
        stored += _store(_without_suggestion(chunk, model), model)
    return stored


def suggest_pending(*, limit: int | None = None) -> int:
    """Store suggestions for pending anomalies that have none of the current model; how many.

    At most `limit`, oldest first. Raises ModelNotLoadedError.
    """
    return sum(suggest_in_chunks(limit=limit))


def suggest_in_chunks(*, limit: int | None = None) -> Iterator[int]:
    """`suggest_pending` step by step: how many were stored after each chunk."""
    model, done, last = serving_model(), 0, 0
    while refresh_priorities():
        pass
    while chunk := list(unsuggested(model).filter(pk__gt=last)[: _chunk_size(limit, done)]):
        stored = _store(chunk, model)
        done, last = done + stored, chunk[-1].pk
        yield stored


def suggest_for_queue() -> None:
    """Suggestions for the newest of the review queue that is about to be shown, as far as one chunk goes.

    One query when nothing is missing. Without a model the queue is shown without them.
    """
    model = predictor.current().loaded
    if model is not None:
        newest = Anomaly.objects.pending().order_by("-pk").values("pk")[:LOOKED_AT]
        _store(list(unsuggested(model).filter(pk__in=newest)[:CHUNK]), model)


def refresh_priorities(*, limit: int = CHUNK) -> int:
    """Reckon with the scores of pending anomalies that were changed since the suggestion; how many.

    At most `limit`; one query when there are none. Of two who do it at once, one leaves what the other has.
    """
    if not ScoreChange.objects.exists():
        return 0
    with transaction.atomic():
        changes = ScoreChange.objects.select_for_update(skip_locked=True).order_by("pk")
        keys = list(changes.values_list("pk", flat=True)[:limit])
        predictions = list(Prediction.objects.filter(anomaly__in=keys).select_related("anomaly"))
        for prediction in predictions:
            suggested = [getattr(prediction, column) for column in SCORE_COLUMNS]
            prediction.priority = _priority(prediction.anomaly, suggested, prediction.confidence)
        Prediction.objects.bulk_update(predictions, ["priority"])
        ScoreChange.objects.filter(pk__in=keys).delete()
    return len(keys)


def suggest_for_page(anomalies: Iterable[Anomaly]) -> int:
    """Suggestions for what is about to be shown and has none; how many. Without a model there are none."""
    return suggest(anomalies=anomalies) if predictor.current().loaded is not None else 0


def _chunk_size(limit: int | None, done: int) -> int:
    return CHUNK if limit is None else min(CHUNK, limit - done)


def unsuggested(model: LoadedModel) -> "QuerySet[Anomaly]":
    """Pending anomalies without a suggestion of this model, oldest first."""
    made = Prediction.objects.filter(anomaly=OuterRef("pk"), model_version=model.version_id)
    return Anomaly.objects.pending().filter(~Exists(made)).order_by("pk")


def _without_suggestion(anomalies: list[Anomaly], model: LoadedModel) -> list[Anomaly]:
    made = Prediction.objects.filter(model_version=model.version_id, anomaly__in=anomalies)
    known = set(made.values_list("anomaly_id", flat=True))
    return [anomaly for anomaly in anomalies if anomaly.pk not in known]


def _store(anomalies: list[Anomaly], model: LoadedModel) -> int:
    if not anomalies:
        return 0
    suggested = _suggested(model, anomalies_frame(anomalies))
    predictions = [_prediction(*row, model) for row in zip(anomalies, suggested, strict=True)]
    # Another process may have stored the same suggestion a moment ago: then that one stays.
    Prediction.objects.bulk_create(predictions, ignore_conflicts=True)
    return len(predictions)


def _prediction(anomaly: Anomaly, scores: SuggestedScores, model: LoadedModel) -> Prediction:
    confidence = min(suggestion.confidence for suggestion in scores)
    return Prediction(
        anomaly=anomaly,
        model_version_id=model.version_id,
        distributions={target: s.distribution for target, s in zip(TARGETS, scores, strict=True)},
        confidence=confidence,
        needs_attention=any(suggestion.needs_attention for suggestion in scores),
        priority=_priority(anomaly, [suggestion.score for suggestion in scores], confidence),
        **{column: s.score for column, s in zip(SCORE_COLUMNS, scores, strict=True)},
    )


def _priority(anomaly: Anomaly, suggested: Sequence[int], confidence: float) -> float:
    """criticality × uncertainty × disagreement, all of them of the suggestion.

    Uncertainty is the chance that the least certain score is another one; disagreement 1 and a half more for
    each point between a suggested score and the one that the report has.
    """
    reported = zip(anomaly.scores.values(), suggested, strict=True)
    points = sum(abs(score - suggestion) for score, suggestion in reported if score is not None)
    return criticality_of(sum(suggested)) * (1 - confidence) * (1 + points / 2)


def _suggested(model: LoadedModel, reports: "Reports") -> Iterator[SuggestedScores]:
    suggestions = model.scorer.predict(reports)
    return zip(*(_rows(suggestions[target]) for target in TARGETS), strict=True)


def _rows(suggestion: "Suggestion") -> Iterator[TargetSuggestion]:
    columns = (
        suggestion.score.tolist(),
        suggestion.distribution.round(DECIMALS).tolist(),
        suggestion.expected.round(DECIMALS).tolist(),
        suggestion.confidence.round(DECIMALS).tolist(),
        _by_severity(suggestion).needs_attention.tolist(),
    )
    return map(TargetSuggestion._make, zip(*columns, strict=True))


def _by_severity(suggestion: "Suggestion") -> "Suggestion":
    """Read so that 5 is the most serious."""
    return suggestion if severity_of(1) == 1 else suggestion.mirrored
