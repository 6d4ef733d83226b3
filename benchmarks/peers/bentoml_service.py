"""BentoML's form of the scorer, for `bentoml serve`."""

import os
from typing import Any

import bentoml
import joblib

from benchmarks.answers import STATED, plain

WORKERS = int(os.environ["WORKERS"])


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class Scorer:
    def __init__(self) -> None:
        self.scorer = joblib.load(os.environ["SCORER"])

    @bentoml.api
    def predict(self, reports: list[dict[str, str]]) -> list[dict[str, Any]]:
        columns = {name: [report[name] for report in reports] for name in STATED}
        return plain(self.scorer.predict(columns))
