"""The records most like a report: what the experts said of such an anomaly before."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from training.ml.features import Counts, ReportFeatures, scale_rows, take_rows
from training.ml.ordinal import Floats

MAX_RECORDS = 50_000  # of the training set, the newest: bounds the file, and the memory of who asks
# What two anomalies have in common counts so much: the fault first, then the equipment.
WEIGHTS = {"words": 1.0, "names": 0.5, "equipment": 0.5}


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """`similarity` is the cosine, above 0 and at most 1."""

    anomaly_id: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class NeighbourIndex:
    """Training records to be compared with reports.

    Attributes
    ----------
    anomaly_ids : list of str
        By time of detection, the newest last, those without one first.
    terms : csr_array of float32, shape (n_terms, n_records)
        A column is a record, of length 1: its tf-idf words and pairs of words, those of its equipment's name,
        and its equipment's id, as `ReportFeatures` knows them.
    """

    anomaly_ids: list[str]
    terms: csr_array

    def nearest(self, vectors: csr_array, count: int) -> list[list[Neighbour]]:
        """For each row of `vectors_of` reports its `count` nearest records, the newer of equals first.

        Fewer where fewer have any term in common with it.
        """
        similar = csr_array(vectors @ self.terms)
        return [
            self._nearest(similar.data[start:end], similar.indices[start:end], count)
            for start, end in zip(similar.indptr[:-1], similar.indptr[1:], strict=True)
        ]

    def _nearest(self, similarity: Floats, records: NDArray[np.int32], count: int) -> list[Neighbour]:
        if len(similarity) > count:  # sorting thousands takes longer than finding them
            near = similarity >= np.partition(similarity, -count)[-count]
            similarity, records = similarity[near], records[near]
        order = np.lexsort((records, similarity))[::-1][:count]
        return [
            Neighbour(anomaly_id=self.anomaly_ids[records[at]], similarity=min(1.0, float(similarity[at])))
            for at in order
        ]


def index_records(features: ReportFeatures, counts: Counts, frame: pd.DataFrame) -> NeighbourIndex:
    """The newest MAX_RECORDS records of the frame, whose terms were counted already."""
    moments = frame["detected_at"].reset_index(drop=True)
    newest = moments.sort_values(kind="stable", na_position="first").index.to_numpy()[-MAX_RECORDS:]
    vectors = vectors_of(features, take_rows(counts, newest)).astype(np.float32)
    return NeighbourIndex(anomaly_ids=frame["anomaly_id"].iloc[newest].tolist(), terms=csr_array(vectors.T))


def vectors_of(features: ReportFeatures, counts: Counts) -> csr_array:
    """Counted reports as rows of length 1 (0 where no term is known), shape (n_reports, n_terms)."""
    blocks = features.unit_blocks(counts, WEIGHTS)
    vectors = csr_array(hstack([WEIGHTS[name] * block for name, block in blocks.items()], format="csr"))
    scale_rows(vectors)
    return vectors
