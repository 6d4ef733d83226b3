"""Every reason that a file's row can be refused for has words in the page's language."""

from pathlib import Path

import pytest
from django.utils import translation

from tests.training.datafiles.files import write_single
from training.admin.row_problems import in_words
from training.datafiles import read_files


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
    (problem,) = read_files([write_single(tmp_path / "x.csv", first, row)]).problems
    with translation.override("fr"):
        assert in_words(problem.message) == words


def test_what_is_not_known_stays_as_it_is() -> None:
    assert in_words("something else") == "something else"
