from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder

from tests.training.ml.frames import frame_of, reports, row
from training.ml.features import (
    ReportFeatures,
    TermCounts,
    count_pieces,
    count_reports,
    count_words,
    take_rows,
)

ODD_TEXTS = [
    "Fuite d'eau   à l’étanchéité",
    "  ",
    "",
    "a",
    "ÉTÉ été Été",
    "tension 6,6kV\tcellule\n12",
    "¨uml¨aut ﬁn ½",
    "\u0301seul",
    "Σίσυφος ΣΑΣ",
    "x" * 300,
]


def first_word(text: str) -> list[str]:
    words: list[str] = CountVectorizer(strip_accents="unicode").build_analyzer()(text)
    return words[:1]


def located_reports() -> pd.DataFrame:
    """Those of `reports`, each machine of a section, each side of a system; the first ten not said."""
    frame = reports()
    frame["section"] = frame["equipment_name"].str[-2:]
    frame["system"] = frame["equipment_id"].str[-1]
    frame.loc[frame.index[:10], ["section", "system"]] = ""
    return frame


def plain_recipe() -> ColumnTransformer:
    """The recipe as scikit-learn alone would have it, refitted each time."""
    text = {"strip_accents": "unicode", "sublinear_tf": True}
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, **text)
    return ColumnTransformer(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), min_df=2, **text), "description"),
            ("pieces", pieces, "description"),
            ("names", TfidfVectorizer(ngram_range=(1, 2), **text), "equipment_name"),
            ("equipment", OneHotEncoder(handle_unknown="ignore"), ["equipment_id"]),
            ("opening", CountVectorizer(analyzer=first_word, min_df=2), "description"),
        ],
        transformer_weights={"equipment": 0.7},
        sparse_threshold=1.0,
    )


def assert_same(ours: csr_array, plain: csr_array, *, rtol: float = 1e-12) -> None:
    assert ours.shape == plain.shape
    assert np.allclose(ours.toarray(), plain.toarray(), rtol=rtol, atol=0)


def test_is_the_plain_recipe() -> None:
    frame = reports()
    counts = count_reports(frame)
    features = ReportFeatures()
    fitted, plain = features.fit_transform(counts), plain_recipe().fit_transform(frame)
    assert fitted.dtype == np.float32
    assert_same(fitted, plain, rtol=1e-6)
    assert_same(features.transform(counts), plain)


def test_a_fold_of_shared_counts_is_a_refit_on_its_rows() -> None:
    frame = pd.concat([reports(), reports()[:20]], ignore_index=True)
    counts = count_reports(frame)
    shuffled = np.random.default_rng(7).permutation(len(frame))
    train, test = shuffled[:90], shuffled[90:]
    features = ReportFeatures().fit(take_rows(counts, train))
    plain = plain_recipe().fit(frame.iloc[train])
    assert_same(features.transform(take_rows(counts, train)), plain.transform(frame.iloc[train]))
    assert_same(features.transform(take_rows(counts, test)), plain.transform(frame.iloc[test]))
    refitted = ReportFeatures().fit(count_reports(frame.iloc[train]))
    assert refitted.vocabularies_ == features.vocabularies_
    shared_test = features.transform(take_rows(counts, test))
    assert (refitted.transform(count_reports(frame.iloc[test])) != shared_test).nnz == 0


def test_unseen_reports_are_counted_afresh() -> None:
    frame = reports()
    unseen = frame_of(row(description="Fumée noire, broyeur à charbon ÉTEINT"), row(equipment_id="eq-00"))
    features = ReportFeatures().fit(count_reports(frame))
    assert_same(features.transform(count_reports(unseen)), plain_recipe().fit(frame).transform(unseen))


odd_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [*ODD_TEXTS, "FUITE VAPEUR la pompe", "fissure fissure au niveau de", "eq-00"]
)
TRAINED, PLAIN = ReportFeatures().fit(count_reports(reports())), plain_recipe().fit(reports())


@given(st.lists(st.tuples(odd_texts, odd_texts, odd_texts), min_size=1, max_size=4))
@hypothesis_settings(deadline=None, max_examples=50, derandomize=True)
def test_odd_reports_make_the_plain_recipe_s_features(rows: list[tuple[str, str, str]]) -> None:
    columns = ("description", "equipment_name", "equipment_id")
    frame = frame_of(*(row(**dict(zip(columns, texts, strict=True))) for texts in rows))
    assert_same(TRAINED.transform(count_reports(frame)), PLAIN.transform(frame))


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (count_words, {"ngram_range": (1, 2)}),
        (count_pieces, {"analyzer": "char_wb", "ngram_range": (2, 5)}),
    ],
)
def test_counts_are_those_of_count_vectorizer(
    count: Callable[[list[str]], TermCounts], options: dict[str, Any]
) -> None:
    vectorizer = CountVectorizer(strip_accents="unicode", **options)
    expected = pd.DataFrame(
        vectorizer.fit_transform(ODD_TEXTS).toarray(), columns=vectorizer.get_feature_names_out()
    )
    counted = count(ODD_TEXTS)
    found = pd.DataFrame(counted.matrix.toarray(), columns=counted.terms)
    assert sorted(found.columns) == list(expected.columns)
    assert np.array_equal(found[expected.columns].to_numpy(), expected.to_numpy())


def test_a_block_without_terms_is_left_out() -> None:
    frame = frame_of(row(equipment_name=" "), row(equipment_name="", equipment_id="eq-2"))
    features = ReportFeatures().fit(count_reports(frame))
    assert set(features.vocabularies_) == {"words", "equipment", "opening"}
    # Later reports may have what the training set lacked.
    assert features.transform(count_reports(frame_of(row()))).shape == (1, 12)


def test_one_report_makes_features() -> None:
    counts = count_reports(frame_of(row(equipment_name="")))
    assert ReportFeatures().fit(counts).transform(counts).toarray().tolist() == [[0.7]]


def test_no_report_makes_no_rows() -> None:
    features = ReportFeatures().fit(count_reports(reports()))
    assert features.transform(count_reports(frame_of())).shape == (0, 731)


@pytest.mark.parametrize("frame", [reports(), located_reports()])
def test_matrix_is_canonical(frame: pd.DataFrame) -> None:
    """Threads share it; tidying it up in place under them corrupts memory."""
    matrix = ReportFeatures().fit_transform(count_reports(frame))
    fresh = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    assert fresh.has_canonical_format


def test_must_be_fitted() -> None:
    with pytest.raises(NotFittedError):
        ReportFeatures().transform(count_reports(reports()))


def test_section_and_system_are_filled_from_the_equipment() -> None:
    frame = located_reports()
    features = ReportFeatures().fit(count_reports(frame))
    silent = frame.assign(section="", system=" ")
    told, filled = (features.transform(count_reports(reports)) for reports in (frame, silent))
    assert (told[10:] != filled[10:]).nnz == 0


def test_unseen_words_and_equipment_without_section_and_system_have_neither() -> None:
    frame = located_reports()
    features = ReportFeatures().fit(count_reports(frame))
    unknown = frame_of(row(description="inconnu", equipment_id="eq-unseen", equipment_name=""))
    known = ReportFeatures().fit(count_reports(reports()))
    values = features.transform(count_reports(unknown)).data
    assert np.array_equal(values, known.transform(count_reports(unknown)).data)


def test_a_known_section_and_system_are_crossed_with_the_words() -> None:
    features = ReportFeatures().fit(count_reports(located_reports()))
    one = frame_of(row(description="fissure", equipment_id="eq-unseen", section="re", system="0"))
    matrix = features.transform(count_reports(one))
    places = block_columns(features)
    found = {name: matrix[:, places[name]].data.tolist() for name in ("section", "system")}
    assert found == {"section": [1.5], "system": [1.5]}
    # One word in each: each crossed block has length 1.
    crossed = matrix[:, places["system"].stop :]
    assert crossed.data.tolist() == [1.0, 1.0]
    assert crossed.shape[1] == sum(len(crossing.pairs_) for crossing in features.crossings_.values())


def test_unseen_equipment_has_the_system_that_its_name_tells() -> None:
    frame = located_reports()[10:].assign(section="")
    frame["system"] = frame["equipment_name"].str.len().astype(str)
    features = ReportFeatures().fit(count_reports(frame))
    unseen = frame.assign(equipment_id="eq-unseen")
    told, filled = (features.transform(count_reports(one)) for one in (unseen, unseen.assign(system="")))
    assert (told != filled).nnz == 0


def test_a_section_or_system_that_is_new_is_not_put_to_the_vote() -> None:
    frame = located_reports()
    features = ReportFeatures().fit(count_reports(frame))
    unseen = frame.assign(equipment_id="eq-unseen", section="new", system="new")
    matrix, places = features.transform(count_reports(unseen)), block_columns(features)
    assert matrix[:, places["section"]].nnz == matrix[:, places["system"]].nnz == 0


def test_learning_hides_a_quarter_of_the_systems() -> None:
    """Each equipment has one report here, so what is hidden cannot be filled."""
    frame = located_reports()[10:]
    frame["equipment_id"] = [f"eq-{number}" for number in range(140)]
    counts = count_reports(frame)
    features = ReportFeatures()
    learned, whole = features.fit_transform(counts), features.transform(counts)
    systems = block_columns(features)["system"]
    assert whole[:, systems].nnz == 140
    assert learned[:, systems].nnz == pytest.approx(105, abs=15)


def test_what_is_hidden_while_learning_is_filled_from_the_equipment() -> None:
    """Each equipment has two or six reports here, all of one system."""
    counts = count_reports(located_reports()[10:].assign(section=""))
    features = ReportFeatures()
    assert (features.fit_transform(counts) != features.transform(counts).astype(np.float32)).nnz == 0


def block_columns(features: ReportFeatures) -> dict[str, slice]:
    """Where each block of terms stands in the matrix."""
    sizes = [len(terms) for terms in features.vocabularies_.values()]
    ends = np.cumsum(sizes).tolist()
    return {
        name: slice(end - size, end)
        for name, size, end in zip(features.vocabularies_, sizes, ends, strict=True)
    }
