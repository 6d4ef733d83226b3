"""Who makes each feature of a report: the words and facts in it that a person can see."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import strip_accents_unicode

from training.ml.features import ReportFeatures, crossed_name, split_pieces, split_words
from training.ml.records import TEXT_COLUMNS

FIELDS = TEXT_COLUMNS[1:]  # of which a report's features are made

_NOT_WORD = re.compile(r"\W+")
_AROUND = " .,;:!?()[]{}<>\"'«»“”…"


class Maker(NamedTuple):
    """A word of the description or of the equipment's name, or a fact as a whole.

    `kind` is the field; `text` is as the report has it. `usual`: the report does not name this section or
    system, or named one that no training report had; its equipment usually has it, or its words tell of it
    (`context`).
    """

    kind: str
    text: str
    usual: bool = False


Together: TypeAlias = tuple[Maker, ...]
# Who makes each column of a report: those that make it together, once for each time it stands in the report.
Makers: TypeAlias = dict[int, list[Together]]
_Words: TypeAlias = Sequence[tuple[str, Maker]]


def makers_of(features: ReportFeatures, columns: NDArray[np.int32], report: Mapping[str, str]) -> Makers:
    """Of each of the `columns` that the report has in the matrix of `features`; none is left out."""
    said = _spaced("description", report["description"])
    words, names = _words_in(said), _words_in(_spaced("equipment_name", report["equipment_name"]))
    equipment = Maker("equipment_id", report["equipment_id"])
    makers: dict[str, dict[str, list[Together]]] = {
        "words": _of_terms(words),
        "pieces": _gathered((piece, (maker,)) for token, maker in said for piece in split_pieces(token)),
        "names": _of_terms(names),
        "equipment": {equipment.text: [(equipment,)]},
        "opening": {word: [(maker,)] for word, maker in words[:1]},
    }
    starts, found = features.starts(), Makers()
    for name in makers.keys() & starts.keys():
        vocabulary = features.vocabularies_[name]
        known = makers[name].keys() & vocabulary.keys()
        found |= {starts[name] + vocabulary[term]: makers[name][term] for term in known}
    for name in features.likely_:
        found |= _of_context(features, columns, name, report[name], found)
    return found


def _of_context(
    features: ReportFeatures, columns: NDArray[np.int32], name: str, stated: str, words: Makers
) -> Makers:
    """Of the column of the section or system, and of those that cross it with words."""
    starts, vocabulary = features.starts(), features.vocabularies_[name]
    own = _within(columns, starts[name], len(vocabulary))
    if not own:
        return {}
    value = list(vocabulary)[own[0]]
    maker = Maker(name, value, usual=value != stated)
    found: Makers = {starts[name] + own[0]: [(maker,)]}
    start, pairs = starts[crossed_name(name)], features.crossings_[name].pairs_
    for column in _within(columns, start, len(pairs)):
        word = starts["words"] + pairs[column] % len(features.vocabularies_["words"])
        found[start + column] = [(maker, *together) for together in words[word]]
    return found


def _within(columns: NDArray[np.int32], start: int, size: int) -> list[int]:
    """Those of one block, counted from its first."""
    inside: list[int] = (columns[(columns >= start) & (columns < start + size)] - start).tolist()
    return inside


def _spaced(kind: str, text: str) -> list[tuple[str, Maker]]:
    """What stands between spaces, in its order, and what of it a person reads as a word.

    The same word in another case or with other signs is the same maker, called as it was written first;
    signs alone belong to the word before them, or to the first word.
    """
    tokens = text.split()
    plain = [_NOT_WORD.sub(" ", strip_accents_unicode(token.lower())).strip() for token in tokens]
    written = {key: token.strip(_AROUND) for key, token in zip(plain[::-1], tokens[::-1], strict=True) if key}
    found, current = [], next(filter(None, plain), "")
    for key, token in zip(plain, tokens, strict=True):
        current = key or current
        found.append((token, Maker(kind, written.get(current, text.strip()))))
    return found


def _words_in(spaced: _Words) -> list[tuple[str, Maker]]:
    """The model's words, in their order."""
    return [(word, maker) for token, maker in spaced for word in split_words(token)]


def _of_terms(words: _Words) -> dict[str, list[Together]]:
    """Of each word, and of each pair of neighbouring words."""
    singles = [(word, (maker,)) for word, maker in words]
    pairs = [
        (f"{first} {second}", (one,) if one == other else (one, other))
        for (first, one), (second, other) in pairwise(words)
    ]
    return _gathered([*singles, *pairs])


def _gathered(terms: Iterable[tuple[str, Together]]) -> dict[str, list[Together]]:
    found = defaultdict(list)
    for term, together in terms:
        found[term].append(together)
    return found
