"""French is complete: every text of ours is translated, and the compiled catalogue is that of the source.

Nothing here needs the gettext programs: sources are read with `ast`, templates with Django's own extractor.
"""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.dates import MONTHS, MONTHS_3
from django.utils.translation.template import templatize

from tests.factories import UserFactory

ROOT = Path(__file__).parent.parent
CATALOGUE = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|\{\}")


def texts_of_sources() -> Iterator[str]:
    for folder in ("anomalyproject", "predictions", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" not in path.parts:
                yield from _marked(ast.parse(path.read_text(encoding="utf-8")))


def texts_of_templates() -> Iterator[str]:
    for path in (ROOT / "templates").rglob("*.html"):
        extracted = templatize(path.read_text(encoding="utf-8"), origin=str(path))
        for call in re.findall(r"\b(?:_|gettext|ngettext)\(.*?\)(?= |$)", extracted, re.DOTALL):
            yield from _marked(ast.parse(call.strip()))


def _marked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKERS:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def entries(source: str) -> dict[str, list[str]]:
    """Of a .po file: each text, and its translations (two where there is a plural)."""
    found = {}
    for block in source.split("\n\n"):
        fields: list[tuple[str, str]] = []
        for line in block.splitlines():
            keyword, quoted = re.match(r'(msg\w+(?:\[\d\])?)?\s*("?.*)', line).groups()  # type: ignore[union-attr]  # matches anything
            if keyword:
                fields.append((keyword, ast.literal_eval(quoted)))
            elif quoted.startswith('"'):
                fields[-1] = (fields[-1][0], fields[-1][1] + ast.literal_eval(quoted))
        texts = dict(fields)
        found[texts["msgid"]] = [text for keyword, text in fields if keyword.startswith("msgstr")]
    return found


@pytest.fixture(scope="module")
def catalogue() -> dict[str, list[str]]:
    return entries(CATALOGUE.read_text(encoding="utf-8"))


def test_every_text_of_ours_is_in_the_catalogue_and_no_other(catalogue: dict[str, list[str]]) -> None:
    ours = {*texts_of_sources(), *texts_of_templates()}
    assert len(ours) > 300
    assert ours - catalogue.keys() == set(), "run makemessages, translate, compilemessages"
    assert catalogue.keys() - ours == {""}


def test_every_text_is_translated(catalogue: dict[str, list[str]]) -> None:
    assert [text for text, translations in catalogue.items() if not all(translations)] == []
    assert "#, fuzzy" not in CATALOGUE.read_text(encoding="utf-8")


def test_translations_keep_the_placeholders(catalogue: dict[str, list[str]]) -> None:
    for text, translations in catalogue.items():
        for translated in translations:
            assert sorted(PLACEHOLDER.findall(translated)) == sorted(PLACEHOLDER.findall(text)), text


def test_the_compiled_catalogue_is_that_of_the_source(catalogue: dict[str, list[str]]) -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stored = compiled._catalog  # type: ignore[attr-defined]  # the one way to see all of it
    singular = {text: forms[0] for text, forms in catalogue.items() if len(forms) == 1}
    plural = {
        (text, n): form
        for text, forms in catalogue.items()
        if len(forms) == 2
        for n, form in enumerate(forms)
    }
    assert stored == singular | plural


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("anomaly", "anomalie"),
        ("availability", "disponibilité"),
        ("fiability", "fiabilité"),
        ("process safety", "sécurité des procédés"),
        ("criticality", "criticité"),
        ("Approve", "Approuver"),
        ("Reject", "Rejeter"),
        ("training session", "session d'entraînement"),
        ("model version", "version du modèle"),
        ("backup", "sauvegarde"),
        ("Restore", "Restaurer"),
    ],
)
def test_the_words_of_the_field(text: str, french: str) -> None:
    with translation.override("fr"):
        assert translation.gettext(text) == french


def test_months_keep_their_names() -> None:
    """Django's own texts: one of ours that reads the same would take its place."""
    with translation.override("fr"):
        assert [str(name) for name in MONTHS_3.values()][:6] == ["jan", "fév", "mar", "avr", "mai", "jui"]
        assert [str(name) for name in MONTHS.values()][3:6] == ["avril", "mai", "juin"]


@pytest.mark.django_db
def test_the_switch_in_the_header_changes_the_language_and_stays_on_the_page() -> None:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    page = reverse("admin:training_anomaly_changelist")
    assert '<html lang="en"' in client.get(page).content.decode()
    response = client.post(reverse("set_language"), {"language": "fr", "next": page})
    assert (response.status_code, response["Location"]) == (302, page)
    html = client.get(page).content.decode()
    assert '<html lang="fr"' in html
    assert "Sessions d'entraînement" in html


@pytest.mark.django_db
def test_the_login_speaks_the_language_of_the_browser() -> None:
    response = Client().get(reverse("admin:login"), headers={"accept-language": "fr-FR,fr;q=0.9"})
    html = response.content.decode()
    assert "Anomalies d&#x27;équipement" in html
    assert 'name="language" value="en"' in html
