"""The training as a project without this one would write it: scikit-learn's pipeline, one for each score.

Reads the three files, holds a fifth of the texts out, fits a pipeline a score on the rest, prints the mean
absolute errors there, fits them again on everything, and dumps them. Features and questions are those of the
product: words, character runs, name, equipment, opening word, section and system, and these two × words;
P(score > k) by logistic regression.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

SCORES = {
    "Disponibilté": "availability",
    "Fiabilité Intégrité": "fiability",
    "Process Safety": "process safety",
}
TEXT, NAME, EQUIPMENT = "Description", "Description de l'équipement", "Num_equipement"
CONTEXT = ("Section propriétaire", "Systeme")
WORDS = {"strip_accents": "unicode", "sublinear_tf": True}


def crossed(text: str) -> list[str]:
    """Each word and pair of words, together with the value that stands before the tab."""
    value, _, words = text.partition("\t")
    return [f"{value}\t{word}" for word in analyse(words)]


analyse = CountVectorizer(strip_accents="unicode", ngram_range=(1, 2)).build_analyzer()


def first_word(text: str) -> list[str]:
    words: list[str] = analyse(text)
    return words[:1]


def pipeline() -> Pipeline:
    features = ColumnTransformer(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), min_df=2, **WORDS), TEXT),
            ("pieces", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, **WORDS), TEXT),
            ("names", TfidfVectorizer(ngram_range=(1, 2), **WORDS), NAME),
            ("opening", CountVectorizer(analyzer=first_word, min_df=2), TEXT),
            ("given", OneHotEncoder(handle_unknown="ignore"), [EQUIPMENT, *CONTEXT]),
            *(
                (f"{name} × words", TfidfVectorizer(analyzer=crossed, min_df=2), f"{name} × words")
                for name in CONTEXT
            ),
        ]
    )
    return make_pipeline(features, MultiOutputClassifier(LogisticRegression(C=4, solver="liblinear")))


def read(paths: list[Path]) -> pd.DataFrame:
    """The reports with the scores of all files."""
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
    frame = pd.concat(
        [tables[0], *(table[table.columns.difference(tables[0].columns)] for table in tables[1:])], axis=1
    )
    frame = frame[frame[TEXT].str.strip() != ""].reset_index(drop=True)
    for name in CONTEXT:
        frame[f"{name} × words"] = frame[name] + "\t" + frame[TEXT]
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    frame = read(arguments.data)
    split = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    train, test = next(split.split(frame, groups=frame[TEXT].str.lower()))
    models = {}
    for column, name in SCORES.items():
        scores = frame[column].astype(float).to_numpy()
        above = (scores[:, None] > np.arange(1, 5)).astype(int)
        asked = np.ptp(above[train], axis=0) > 0
        held_out = pipeline().fit(frame.iloc[train], above[train][:, asked]).predict(frame.iloc[test])
        print(name, mean_absolute_error(scores[test], 1 + held_out.sum(axis=1)))
        models[name] = pipeline().fit(frame, above[:, asked])
    joblib.dump(models, arguments.out)


if __name__ == "__main__":
    main()
