"""Why the model suggests what it does, for who asks: the words and facts that moved each score, and what
experts said of similar anomalies.

Neither is computed for a suggestion that nobody asks about, and the records to compare with are loaded
with the first question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from predictions.models import Prediction
from predictions.predictor import LoadedModel
from predictions.services import DECIMALS, serving_model, stated
from predictions.validation import Report
from training.errors import InvalidRecordsError, NotAllowedNowError
from training.frames import anomalies_frame
from training.models import Anomaly

if TYPE_CHECKING:  # as in predictor: scikit-learn is imported with the first model
    from training.ml.explain import Explanation
    from training.ml.features import Reports

LIMIT = 100  # reports at a time: each costs some milliseconds
SIMILAR = 5
CANDIDATES = 20  # nearest training records: some may no longer be approved
# By how much an expected score and that of a stored distribution, whose shares are rounded, may differ.
ROUNDING = sum(range(1, 6)) * 10**-DECIMALS / 2


class SimilarAnomaly(NamedTuple):
    anomaly: Anomaly
    similarity: float  # above 0, at most 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Reasons:
    """Of one report: an explanation for each target; `similar` is None when it was not asked for."""

    explanations: "Mapping[str, Explanation]"
    similar: list[SimilarAnomaly] | None


def explain_reports(*, reports: Sequence[Report], model: LoadedModel, with_similar: bool) -> list[Reasons]:
    """Why the model suggests what `services.predict` says of these reports.

    Raises InvalidRecordsError for more than LIMIT of them, UnservableVersionError when the records to
    compare with cannot be loaded.
    """
    if len(reports) > LIMIT:
        raise InvalidRecordsError([f"Reasons are given for up to {LIMIT} anomalies, got {len(reports):,}"])
    own_ids = [str(report.anomaly_id) for report in reports]
    return _reasons(stated(reports), model, own_ids, with_similar=with_similar)


def explain_prediction(*, prediction: Prediction) -> Reasons:
    """Why the serving version made this suggestion.

    Raises NotAllowedNowError when another one made it, or when the report has changed since: the reasons
    would not add up to the suggestion. ModelNotLoadedError and UnservableVersionError as above.
    """
    model = serving_model()
    if prediction.model_version_id != model.version_id:
        raise NotAllowedNowError(
            f"Version {prediction.model_version_id} made this suggestion, and version {model.version_id}"
            " serves: only the version that serves gives reasons."
        )
    anomaly = prediction.anomaly
    (reasons,) = _reasons(anomalies_frame([anomaly]), model, [anomaly.anomaly_id], with_similar=True)
    for target, explanation in reasons.explanations.items():
        if abs(explanation.expected - _expected(prediction.distributions[target])) > ROUNDING:
            raise NotAllowedNowError(
                "The report has changed since the suggestion was made: POST /predict?explain=true"
                " suggests scores for what it says now, with the reasons."
            )
    return reasons


def _expected(distribution: Sequence[float]) -> float:
    return sum(score * share for score, share in enumerate(distribution, start=1))


def _reasons(
    reports: "Reports", model: LoadedModel, own_ids: Sequence[str], *, with_similar: bool
) -> list[Reasons]:
    from training.ml.explain import explain  # noqa: PLC0415  # scikit-learn: as above

    explained = explain(model.scorer, reports)
    similar = _similar(reports, model, own_ids) if with_similar else [None] * len(own_ids)
    return [Reasons(explanations=why, similar=who) for why, who in zip(explained, similar, strict=True)]


def _similar(reports: "Reports", model: LoadedModel, own_ids: Sequence[str]) -> list[list[SimilarAnomaly]]:
    """The approved anomalies that are most like each report, as experts score them today; one query."""
    from training.ml.features import count_reports  # noqa: PLC0415  # scikit-learn: as above
    from training.ml.neighbours import vectors_of  # noqa: PLC0415  # as above

    vectors = vectors_of(model.scorer.features_, count_reports(reports))
    nearest = model.neighbours.nearest(vectors, CANDIDATES)
    ids = {neighbour.anomaly_id for found in nearest for neighbour in found}
    # Unordered: SQLite would walk all the approved ones in the order of their list.
    approved = Anomaly.objects.approved().order_by().in_bulk(list(ids), field_name="anomaly_id")
    return [
        [
            SimilarAnomaly(approved[neighbour.anomaly_id], round(neighbour.similarity, DECIMALS))
            for neighbour in found
            if neighbour.anomaly_id in approved and neighbour.anomaly_id != own_id
        ][:SIMILAR]
        for found, own_id in zip(nearest, own_ids, strict=True)
    ]
