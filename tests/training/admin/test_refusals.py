"""What a file or a row can be refused for has words in the page's language."""

from pathlib import Path

import pytest
from django.utils import translation

from tests.training.datafiles.files import FAN, PUMP, write_customer, write_single
from training.admin.refusals import in_words
from training.datafiles import DataFileError, read_files, tables


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A-2,,Pompe,p,,,,1,2,3", "Description : ne doit pas être vide"),
        (f"A-2,{'x' * 2_001},Pompe,p,,,,1,2,3", "Description : au plus 2,000 caractères, reçu 2,001"),
        (
            "A-2,a\0b,Pompe,p,,,,1,2,3",
            "Description : contient des caractères non enregistrables",
        ),
        ("A-2,Fuite,Pompe,p,,,,1,,3", "Manque : Fiabilité"),
        ("A-2,Fuite,Pompe,p,,,,,,3", "Manque : Disponibilité, Fiabilité"),
        ("A-2,Fuite,Pompe,p,,,,1,deux,3", "Fiabilité : doit être un nombre, reçu 'deux'"),
        ("A-2,Fuite,Pompe,p,,,,1,9,3", "Fiabilité : doit être entre 1 et 5, reçu 9"),
        (
            "A-2,Fuite,Pompe,p,,,hier,1,2,3",
            "Détectée le : doit être une date comme 2026-03-01 06:30 entre 1900 et 2199, reçu 'hier'",
        ),
        (
            "A-1,Fuite,Pompe,p,,,,1,2,4",
            (
                "Le même signalement qu'à la ligne 2, qui est gardée, avec autre chose pour : "
                "Sécurité des procédés"
            ),
        ),
        ("A-2,Fuite,Pompe,p,,,,1,2,3,4", "La ligne a 11 cellules, l'en-tête 10"),
    ],
)
def test_each_has_french_words(tmp_path: Path, row: str, words: str) -> None:
    first = "A-1,Fuite,Pompe,p,,,,1,2,3"
    (problem,) = read_files([write_single(tmp_path / "x.csv", first, row)]).problems()
    with translation.override("fr"):
        assert in_words(problem.message) == words


def wrong_files(directory: Path) -> list[tuple[list[Path], str]]:
    three = write_customer(directory, PUMP, FAN)
    other, shorter = directory / "other", directory / "shorter"
    for folder in (other, shorter):
        folder.mkdir()
    swapped = write_customer(other, FAN, PUMP)
    first = write_customer(shorter, PUMP)
    latin = directory / "latin.csv"
    latin.write_bytes("équipement,description".encode("latin-1"))
    twice = write_single(directory / "twice.csv", header="description,Description")
    return [
        (
            [write_single(directory / "x.csv", header="a,b")],
            "il n'a pas de colonne pour description, equipment_name, equipment_id.",
        ),
        (three[:2], "Donnez les trois fichiers du client ensemble, ou un fichier avec les trois scores."),
        ([latin], "n'est pas un texte UTF-8"),
        ([twice], "a deux colonnes pour la même chose : description, Description."),
        ([three[0], three[1], swapped[2]], "sont des signalements différents."),
        ([three[0], three[1], first[2]], "les trois fichiers doivent avoir les mêmes lignes."),
        ([directory / "gone.csv"], "n'est plus lisible : envoyez à nouveau les fichiers."),
    ]


def test_files_that_cannot_be_used_have_french_words(tmp_path: Path) -> None:
    for paths, words in wrong_files(tmp_path):
        with pytest.raises(DataFileError) as caught:
            read_files(paths)
        with translation.override("fr"):
            assert words in in_words(str(caught.value))


def test_too_many_empty_lines_have_french_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_BLANK", 1)
    with pytest.raises(DataFileError) as caught:
        read_files([write_single(tmp_path / "x.csv", "", " ")])
    with translation.override("fr"):
        assert in_words(str(caught.value)).endswith("x.csv a plus de 1 lignes vides : supprimez-les.")


def test_what_is_not_known_stays_as_it_is() -> None:
    assert in_words("something else") == "something else"


def test_a_storage_that_does_not_answer_has_words_without_its_address() -> None:
    problem = 'The object storage does not answer: Could not connect to the endpoint URL: "http://x/y"'
    assert in_words(f"{problem}. Nothing was changed: try again later.") == (
        "The storage of files does not answer: nothing was changed. Try again later."
    )
