import csv
import io
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import AnomalyFactory
from tests.training.admin.people import said, staff, superuser, user_of
from training.admin.upload_limit import BoundedUploadHandler
from training.file_imports import receive_files
from training.models import Anomaly, FileImport
from training.shelves.ownership import MARK

pytestmark = pytest.mark.django_db
ADD = reverse("admin:training_fileimport_add")
LIST = reverse("admin:training_fileimport_changelist")
HEADER = (
    "anomaly_id,description,equipment_name,equipment_id,note,"
    "availability_score,fiability_score,process_safety_score"
)
GOOD, WRONG = "A-1,Fuite <b>,Pompe,p-1,x,1,2.5,3", "A-2,=2+3,Pompe,p-1,y,9,2,3"


@pytest.fixture
def importer() -> Client:
    return staff("training.view_anomaly", "training.add_anomaly", "training.review_anomaly")


def file(*rows: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("a.csv", "\n".join([HEADER, *rows]).encode())


def upload(client: Client, *rows: str, status: str = "approved") -> Any:
    return client.post(ADD, {"uploads": [file(*rows)], "status": status})


def page(row: FileImport, name: str = "change") -> str:
    return reverse(f"admin:training_fileimport_{name}", args=[row.pk])


def test_files_are_looked_at_then_confirmed(importer: Client) -> None:
    AnomalyFactory.create(anomaly_id="A-3")
    response = upload(importer, GOOD, GOOD, WRONG, "A-3,Fuite,Pompe,p-1,,1,2,3")
    row = FileImport.objects.get()
    assert (response.status_code, response["Location"]) == (302, page(row))
    html = unescape(importer.get(page(row)).content.decode())
    for words in (
        "1 anomaly is added.",
        "1 anomaly is changed; its former values stay in its history.",
        "They are approved: models learn from them.",
        "Availability: must be between 1 and 5, got 9",
        "<td>note</td><td>ignored</td>",
        '<td class="tp-number">2.5</td>',
    ):
        assert words in html
    assert Anomaly.objects.get().status == "pending"
    response = importer.post(page(row, "store"))
    assert (response["Location"], said(response)) == (
        page(row),
        ["Imported: 1 new, 1 changed, 0 identical."],
    )
    anomaly = Anomaly.objects.get(anomaly_id="A-1")
    assert (anomaly.status, anomaly.reviewed_by, anomaly.description) == (
        "approved",
        user_of(importer),
        "Fuite <b>",
    )
    assert page(row, "store") not in importer.get(page(row)).content.decode()


def test_the_reasons_speak_french(importer: Client) -> None:
    upload(importer, GOOD, WRONG)
    french = importer.get(page(FileImport.objects.get()), headers={"accept-language": "fr"})
    assert "Disponibilité : doit être entre 1 et 5, reçu 9" in unescape(french.content.decode())


def test_times_are_shown_as_the_language_has_them(importer: Client) -> None:
    header = HEADER.replace("note", "detected_at")
    rows = ("A-1,Fuite,Pompe,p-1,2026-03-01 06:30:15.5,1,2,3", "A-2,Fuite,Pompe,p-1,,1,2,3")
    content = "\n".join([header, *rows])
    importer.post(ADD, {"uploads": [SimpleUploadedFile("a.csv", content.encode())], "status": "approved"})
    french = importer.get(page(FileImport.objects.get()), headers={"accept-language": "fr"}).content.decode()
    assert '<td class="tp-whole">01/03/2026 06:30</td>' in french
    assert '<td class="tp-whole">–</td>' in french


def test_what_the_files_hold_is_text_not_markup(importer: Client) -> None:
    upload(importer, GOOD)
    html = importer.get(page(FileImport.objects.get())).content.decode()
    assert "Fuite &lt;b&gt;" in html
    assert "Fuite <b>" not in html


def test_they_can_go_to_the_review_queue(importer: Client) -> None:
    upload(importer, GOOD, status="pending")
    row = FileImport.objects.get()
    assert "They go to the review queue." in importer.get(page(row)).content.decode()
    importer.post(page(row, "store"))
    assert Anomaly.objects.get().status == "pending"


def test_nothing_to_change_is_said(importer: Client) -> None:
    for _ in range(2):
        upload(importer, GOOD)
        importer.post(page(FileImport.objects.latest("pk"), "store"))
    upload(importer, GOOD)
    html = importer.get(page(FileImport.objects.latest("pk"))).content.decode()
    assert "Nothing would change: every good row is stored already." in html


def test_without_a_good_row_there_is_nothing_to_confirm(importer: Client) -> None:
    upload(importer, WRONG)
    html = importer.get(page(FileImport.objects.get())).content.decode()
    assert "No row can be imported." in html
    form = html.partition("tp-confirm")[2].partition("</form>")[0]
    assert [part.partition("</button>")[0].split()[-1] for part in form.split("<button")[1:]] == ["Discard"]


def test_an_import_is_discarded(importer: Client) -> None:
    upload(importer, GOOD)
    row = FileImport.objects.get()
    response = importer.post(page(row, "discard"))
    assert (response["Location"], said(response)) == (
        LIST,
        ["The import is discarded; nothing was changed."],
    )
    assert importer.get(page(row)).status_code == 200
    response = importer.post(page(row, "store"))
    assert said(response)[-1] == "This import does not wait to be confirmed any more."
    assert not Anomaly.objects.exists()


def test_the_refused_rows_are_a_file(importer: Client) -> None:
    upload(importer, GOOD, WRONG)
    row = FileImport.objects.get()
    response = importer.get(page(row, "refused"))
    content = response.getvalue().decode("utf-8-sig")
    assert response["Content-Disposition"] == f'attachment; filename="refused_{row.pk}.csv"'
    (refused,) = csv.DictReader(io.StringIO(content))
    assert (refused["anomaly_id"], refused["description"]) == ("A-2", "'=2+3")
    upload(importer, GOOD)
    assert importer.get(page(FileImport.objects.latest("pk"), "refused")).status_code == 404


def test_progress_is_told(importer: Client) -> None:
    upload(importer, GOOD)
    row = FileImport.objects.get()
    assert importer.get(page(row, "progress")).json() == {"done": 0, "of": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": "approved"}, "This field is required."),
        (
            {"uploads": [SimpleUploadedFile("a.csv", b"")], "status": "approved"},
            "The submitted file is empty.",
        ),
        ({"uploads": [file(GOOD)], "status": "rejected"}, "rejected is not one of the available choices."),
        (
            {"uploads": [SimpleUploadedFile("a.csv", b"x\n1\n")], "status": "approved"},
            "a.csv holds no anomalies: it has no column for description, equipment_name, equipment_id.",
        ),
        ({"uploads": [file(GOOD) for _ in range(4)], "status": "approved"}, "these are 4."),
    ],
)
def test_what_cannot_be_used_is_said_on_the_form(importer: Client, data: dict[str, Any], words: str) -> None:
    for upload_ in data.get("uploads", []):
        upload_.seek(0)
    response = importer.post(ADD, data)
    assert response.status_code == 200
    assert words in unescape(response.content.decode())
    assert not FileImport.objects.exists()


def test_too_large_is_said_and_far_too_large_not_even_received(
    importer: Client, settings: Settings, media_root: Path
) -> None:
    settings.IMPORT_LIMIT = 300
    large = upload(importer, GOOD + "x" * 300)
    assert "The files hold more than 0 MiB" in large.content.decode()
    assert upload(importer, GOOD + "x" * 1_200).status_code == 400
    assert (FileImport.objects.count(), [path.name for path in media_root.iterdir()]) == (0, [MARK])


@pytest.mark.parametrize(
    "permissions", [("training.add_anomaly",), ("training.review_anomaly",), ("training.train_models",)]
)
def test_an_import_needs_both_permissions(permissions: tuple[str, ...]) -> None:
    row = receive_files(files=[file(GOOD)], status=Anomaly.Status.APPROVED, user=None)
    client = staff("training.view_anomaly", *permissions)
    assert client.get(page(row)).status_code == 200
    assert page(row, "store") not in client.get(page(row)).content.decode()
    assert (client.get(ADD).status_code, upload(client, GOOD).status_code) == (403, 403)
    for name in ("store", "discard"):
        assert client.post(page(row, name)).status_code == 403
    stranger = staff(*permissions)
    for name in ("change", "refused", "progress"):
        assert stranger.get(page(row, name)).status_code in {403, 404}
    row.refresh_from_db()
    assert row.status == "waiting"


def test_a_mere_look_stores_nothing(importer: Client) -> None:
    upload(importer, GOOD)
    row = FileImport.objects.get()
    assert [importer.get(page(row, name)).status_code for name in ("store", "discard")] == [403, 403]
    assert not Anomaly.objects.exists()


def test_the_list_of_anomalies_leads_there(importer: Client) -> None:
    anomalies = reverse("admin:training_anomaly_changelist")
    button = reverse("admin:training_anomaly_import_files")
    assert button in importer.get(anomalies).content.decode()
    assert importer.get(button)["Location"] == ADD
    assert button not in staff("training.view_anomaly").get(anomalies).content.decode()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "A.CSV"}, 1),
        ({"q": "b.csv"}, 0),
        ({"status__exact": "waiting"}, 1),
        ({"status__exact": "stored"}, 0),
    ],
)
def test_the_list_is_searched_and_filtered(importer: Client, query: dict[str, str], count: int) -> None:
    upload(importer, GOOD)
    assert importer.get(LIST, query).context["cl"].result_count == count


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for _ in range(count):
        upload(client, GOOD, WRONG)
    with django_assert_num_queries(6):
        client.get(LIST)


def test_what_comes_without_a_length_is_counted(settings: Settings) -> None:
    settings.IMPORT_LIMIT = 100
    known = SimpleNamespace(user=SimpleNamespace(is_authenticated=True))
    handler = BoundedUploadHandler(known)  # type: ignore[arg-type]  # all that it asks of a request
    handler.handle_raw_input(None, {}, 0, b"")
    assert handler.receive_data_chunk(b"x" * 300, 0) == b"x" * 300
    with pytest.raises(RequestDataTooBig):
        handler.receive_data_chunk(b"x" * 101, 0)  # of the next file: the bound is the request's
