from collections.abc import Iterator

import numpy as np
import pytest
import scipy
import sklearn

from training.ml import libraries
from training.ml.libraries import differences, installed, pretend


@pytest.fixture(autouse=True)
def _own_libraries() -> Iterator[None]:
    yield
    pretend("")


def test_what_is_installed() -> None:
    found = installed()
    assert tuple(found) == libraries.NAMES
    assert (found["scikit-learn"], found["numpy"], found["scipy"]) == (
        sklearn.__version__,
        np.__version__,
        scipy.__version__,
    )


@pytest.mark.parametrize(
    ("wanted", "own", "words"),
    [
        ({"scikit-learn": "1.9.1"}, {"scikit-learn": "1.9.1"}, ""),
        ({"scikit-learn": "1.9.1"}, {"scikit-learn": "1.8.0"}, "scikit-learn 1.8.0, not 1.9.1"),
        ({"numpy": "2.1", "format": 5}, {"numpy": "2.2", "format": 4}, "numpy 2.2, not 2.1; format 4, not 5"),
        ({"python": "3.11.2"}, {"python": "3.11.9"}, ""),
        ({"python": "3.11.2"}, {"python": "3.12.2"}, "python 3.12.2, not 3.11.2"),
        ({"scipy": "1.16.0"}, {}, ""),
        ({}, {"scipy": "1.16.0"}, ""),
        ({"targets": ["availability"]}, {"targets": []}, ""),
    ],
)  # fmt: skip
def test_what_differs(wanted: dict[str, object], own: dict[str, object], words: str) -> None:
    assert differences(wanted, own) == words


def test_pretending() -> None:
    before = installed()
    pretend("scikit-learn=1.8.0, format=4")
    assert differences(before) == (
        f"scikit-learn 1.8.0, not {before['scikit-learn']}; format 4, not {before['format']}"
    )
    pretend("")
    assert installed() == before


@pytest.mark.parametrize("wrong", ["sklearn=1.8.0", "scikit-learn", "numpy=", "format=x"])
def test_no_such_library(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"names no library|invalid literal"):
        pretend(wrong)
