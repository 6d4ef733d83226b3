import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.training.ml.frames import frame_of, reports, row
from training.ml import neighbours
from training.ml.features import ReportFeatures, count_reports
from training.ml.neighbours import Neighbour, NeighbourIndex, index_records, vectors_of


def indexed(*rows: dict[str, object]) -> tuple[ReportFeatures, NeighbourIndex]:
    frame = frame_of(*rows)
    counts = count_reports(frame)
    features = ReportFeatures().fit(counts)
    return features, index_records(features, counts, frame)


def dense(features: ReportFeatures) -> NDArray[np.float64]:
    """The reports as unit vectors, from the matrix that the model learns from."""
    counts = count_reports(reports())
    matrix, starts = features.transform(counts).toarray(), features.starts()
    weights = {"words": 1.0, "names": 0.5, "equipment": 0.5 / 0.7}
    blocks = [
        weight * matrix[:, starts[name] : starts[name] + len(features.vocabularies_[name])]
        for name, weight in weights.items()
    ]
    vectors = np.hstack(blocks)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_is_the_dense_computation() -> None:
    frame = reports()
    counts = count_reports(frame)
    features = ReportFeatures().fit(counts)
    nearest = index_records(features, counts, frame).nearest(vectors_of(features, counts), 5)
    similarity = dense(features) @ dense(features).T
    for position, found in enumerate(nearest):
        best = np.sort(similarity[position])[::-1][:5]
        rows = [int(neighbour.anomaly_id.removeprefix("A-")) for neighbour in found]
        assert rows[0] == position
        assert [neighbour.similarity for neighbour in found] == pytest.approx(best, abs=1e-6)
        assert similarity[position][rows] == pytest.approx(best, abs=1e-6)


def test_the_fault_counts_more_than_the_equipment_and_that_more_than_nothing() -> None:
    features, index = indexed(
        row(anomaly_id="same equipment", description="bruit anormal", equipment_id="eq-1"),
        row(anomaly_id="same fault", description="fuite vapeur", equipment_id="eq-2", equipment_name=""),
        row(anomaly_id="more noise", description="bruit anormal", equipment_id="eq-3", equipment_name=""),
        row(anomaly_id="more steam", description="fuite vapeur", equipment_id="eq-4", equipment_name=""),
    )
    report = frame_of(row(description="Fuite de VAPEUR", equipment_id="eq-1"))
    (found,) = index.nearest(vectors_of(features, count_reports(report)), 5)
    assert [neighbour.anomaly_id for neighbour in found] == ["more steam", "same fault", "same equipment"]
    assert found[0].similarity == found[1].similarity
    assert 1 > found[1].similarity > found[2].similarity > 0


def test_of_equals_the_newest_comes_first_and_one_without_a_time_last() -> None:
    days = ["2024-01-02", None, "2024-01-03", "2024-01-01"]
    features, index = indexed(*(row(anomaly_id=f"{day}", detected_at=day) for day in days))
    assert index.anomaly_ids == ["None", "2024-01-01", "2024-01-02", "2024-01-03"]
    (found,) = index.nearest(vectors_of(features, count_reports(frame_of(row()))), 3)
    assert [neighbour.anomaly_id for neighbour in found] == ["2024-01-03", "2024-01-02", "2024-01-01"]
    assert [neighbour.similarity for neighbour in found] == pytest.approx([1, 1, 1])
    assert max(neighbour.similarity for neighbour in found) <= 1


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_RECORDS", 2)
    days = ["2024-01-02", "2024-01-03", "2024-01-01"]
    _, index = indexed(*(row(anomaly_id=day, detected_at=day) for day in days))
    assert index.anomaly_ids == ["2024-01-02", "2024-01-03"]
    assert index.terms.shape[1] == 2
    assert index.terms.dtype == np.float32


def test_nothing_in_common_is_not_similar() -> None:
    features, index = indexed(row(), row(anomaly_id="A-2"))
    report = frame_of(row(description="tout autre chose", equipment_id="eq-9", equipment_name=""))
    assert index.nearest(vectors_of(features, count_reports(report)), 5) == [[]]


def test_without_words() -> None:
    """A word must stand in two reports to be known: here only the equipment is."""
    features, index = indexed(row(description="fuite", equipment_name=""))
    (found,) = index.nearest(vectors_of(features, count_reports(frame_of(row(description="bruit")))), 5)
    assert found == [Neighbour(anomaly_id="A-1", similarity=1.0)]


def test_no_report_no_neighbours() -> None:
    features, index = indexed(row())
    assert index.nearest(vectors_of(features, count_reports(frame_of())), 5) == []
    assert csr_array(vectors_of(features, count_reports(frame_of()))).shape[0] == 0
