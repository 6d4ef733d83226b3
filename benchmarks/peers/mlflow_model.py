"""MLflow's form of the scorer, for `mlflow models serve`; run as a program it writes its directory."""

import sys
from typing import Any

import joblib
import mlflow.pyfunc
import pandas as pd

from benchmarks.answers import plain


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        self.scorer = joblib.load(context.artifacts["scorer"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[dict[str, Any]]:
        return plain(self.scorer.predict(model_input))


if __name__ == "__main__":
    from benchmarks.peers.mlflow_model import Model as ImportedModel  # pickled under its real name

    _, scorer, directory = sys.argv
    mlflow.pyfunc.save_model(
        directory, python_model=ImportedModel(), artifacts={"scorer": scorer}, pip_requirements=[]
    )
