"""Files of strangers at every door: answered or refused with little memory, and nothing is left of them."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from predictions.models import PredictionJob
from tests.factories import user_with
from tests.process_memory import AFTERWARDS, AT_PEAK, memory_of, peak_of
from tests.queue_processes import running, wait_until
from tests.sampling import on_sqlite_alone, share
from tests.training.admin.people import superuser
from tests.training.datafiles.workbook_files import BOMBS, VALUES, in_last_column, row, text_cell, write_sheet
from training.ml.records import COLUMNS
from training.models import Anomaly, FileImport, ModelVersion
from training.shelves.ownership import MARK

ADD, JOBS = reverse("admin:training_fileimport_add"), "/api/v1/prediction-jobs/"
NAMED = list(BOMBS)[:5]
HEADER = ",".join(COLUMNS)
FOREIGN: dict[str, bytes] = {
    "a line of 2 MB": f"{HEADER}\n".encode() + b"x" * 2_000_000,
    "a million columns": b"," * 1_000_000 + f"\n{HEADER}\n".encode(),
    "a thousand titles": ",".join(f"t{number}" for number in range(1_000)).encode(),
    "a quote that is not closed": f'{HEADER}\nA-1,"'.encode() + b"x\n" * 700_000,
    "NULs": bytes(200_000),
    "the form that unpacked workbooks had": b"\x1e" + b"[" * 100_000 + b"\n",
    "a title of 200 kB": b"x" * 200_000,
    "no XML": b"PK\x03\x04" + bytes(range(256)) * 100,
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Each file, written once."""
    directory = tmp_path_factory.mktemp("foreign")

    def find(name: str) -> Path:
        path = directory / f"{list({**BOMBS, **FOREIGN}).index(name)}.xlsx"
        if not path.exists():
            path.write_bytes(FOREIGN[name]) if name in FOREIGN else BOMBS[name][0](path)
        return path

    return find


def is_read(name: str) -> bool:
    return name in BOMBS and BOMBS[name][1] is not None


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*BOMBS, *FOREIGN])
def test_an_import_is_read_or_refused_on_its_page(
    foreign: Callable[[str], Path], media_root: Path, name: str
) -> None:
    file = SimpleUploadedFile("a.xlsx", foreign(name).read_bytes())
    answer = superuser().post(ADD, {"uploads": [file], "status": "approved"})
    if is_read(name):
        assert (answer.status_code, FileImport.objects.count()) == (302, 1)
        return
    assert (answer.status_code, FileImport.objects.count()) == (200, 0)
    (error,) = answer.context["form"].errors["uploads"]
    assert error.startswith("a.xlsx ")
    assert [path.name for path in media_root.rglob("*") if path.is_file()] in ([], [MARK])


@on_sqlite_alone
@pytest.mark.django_db
@pytest.mark.parametrize("name", [*BOMBS, *FOREIGN])
def test_a_prediction_job_is_begun_or_refused(
    foreign: Callable[[str], Path], version: ModelVersion, name: str
) -> None:
    client = APIClient()
    token = Token.objects.create(user=user_with("predictions.add_predictionjob"))
    client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    file = SimpleUploadedFile("a.xlsx", foreign(name).read_bytes())
    answer = client.post(JOBS, {"file": file}, format="multipart")
    if is_read(name):
        assert (answer.status_code, answer.json()["rows"]) == (202, BOMBS[name][1])
        return
    assert (answer.status_code, PredictionJob.objects.count()) == (400, 0)
    assert "a.xlsx" in str(answer.json()) or "has no column" in str(answer.json())


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["import_anomalies", "evaluate"])
@pytest.mark.parametrize("name", [name for name in [*BOMBS, *FOREIGN] if not is_read(name)])
def test_commands_end_with_a_sentence(foreign: Callable[[str], Path], command: str, name: str) -> None:
    path = foreign(name)
    with pytest.raises(CommandError, match=rf"^{path} .+\.$") as caught:
        call_command(command, str(path))
    assert len(str(caught.value)) < 500
    assert not Anomaly.objects.exists()


# --- Real processes ----------------------------------------------------------------------------


@pytest.fixture
def web(queue_mark: str, version: ModelVersion, tmp_path: Path) -> Iterator["Web"]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PORT": str(port), "WEB_WORKERS": "1", "WEB_THREADS": "2"}
    command = [sys.executable, "-m", "gunicorn", "anomalyproject.wsgi", "-c", "anomalyproject/gunicorn.py"]
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield Web(process.pid, queue_mark, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
        print((tmp_path / "web.log").read_text())  # noqa: T201  # pytest shows it on failure


class Web:
    """A server with one worker, asked by somebody who may do everything."""

    def __init__(self, master: int, mark: str, address: str) -> None:
        self.address = address
        wait_until(self._answers, seconds=120)
        (self.worker,) = (process.pid for process in running(mark) if process.parent == master)
        user = user_with("predictions.add_predictionjob")
        self.token = {"Authorization": f"Token {Token.objects.create(user=user).key}"}
        self.session = requests.Session()
        self.session.cookies.set("sessionid", superuser().cookies["sessionid"].value)
        self.session.get(self.address + ADD, timeout=60)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/livez", timeout=5).ok
        except requests.RequestException:
            return False

    def import_file(self, path: Path) -> int:
        fields = {"status": "approved", "csrfmiddlewaretoken": self.session.cookies["csrftoken"]}
        with path.open("rb") as file:
            return self.session.post(
                self.address + ADD, fields, files={"uploads": file}, allow_redirects=False, timeout=600
            ).status_code

    def predict_file(self, path: Path) -> int:
        with path.open("rb") as file:
            return requests.post(
                self.address + JOBS, files={"file": file}, headers=self.token, timeout=600
            ).status_code


def long_csv(path: Path, size: int) -> Path:
    """Honest rows up to that many bytes."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEADER}\n")
        number = 0
        while file.tell() < size - 100_000:
            file.writelines(_line(each) for each in range(number, number + 100))
            number += 100
    return path


def _line(number: int) -> str:
    text = f"Fuite n° {number} sur la garniture de la pompe d'alimentation, " * 3
    return f'A-{number},"{text}",Pompe,p-{number % 500},Eau,MEC,2024-01-02 03:04:05,1,2,{1 + number % 5}\n'


def long_workbook(path: Path, rows: int) -> Path:
    texts = [text_cell(value) for value in VALUES[2:]]
    return write_sheet(
        path,
        "".join(
            row([text_cell(f"A-{number}"), text_cell(f"Fuite n° {number} sur la pompe " * 8), *texts])
            for number in range(2, rows + 1)
        ),
    )


def large_files(foreign: Callable[[str], Path], directory: Path, *, turn: int) -> Iterator[tuple[Path, bool]]:
    """Bombs and honest files up to the limit, half of them a turn; and whether each is read."""
    for name in share([*NAMED, "long.csv", "long.xlsx"], of=2, turn=turn):
        if name == "long.csv":
            yield long_csv(directory / name, 2**26), True
        elif name == "long.xlsx":
            yield long_workbook(directory / name, 100_000), True
        else:
            yield foreign(name), is_read(name)


@on_sqlite_alone
@pytest.mark.queue
@pytest.mark.parametrize("door", ["import_file", "predict_file"])
def test_a_web_process_holds_little(
    web: Web, foreign: Callable[[str], Path], tmp_path: Path, door: str
) -> None:
    send: Callable[[Path], int] = getattr(web, door)
    good = 302 if door == "import_file" else 202
    for _ in range(2):  # what is loaded once is loaded
        assert send(in_last_column(tmp_path / "small.xlsx", 50)) == good
    refused = 200 if door == "import_file" else 400
    for path, is_good in large_files(foreign, tmp_path, turn=int(door == "predict_file")):
        with memory_of(web.worker) as memory:
            assert send(path) == (good if is_good else refused)
        print(path.name, memory)  # noqa: T201  # pytest shows it on failure
        assert memory.peak < AT_PEAK, path.name
        assert memory.after < AFTERWARDS, path.name


@on_sqlite_alone
@pytest.mark.queue
def test_a_command_holds_little(queue_mark: str, foreign: Callable[[str], Path], tmp_path: Path) -> None:
    command = ("import_anomalies", "--dry-run")
    small = in_last_column(tmp_path / "small.xlsx", 50)
    code, usual = peak_of(tmp_path / "peak", *command, str(small))
    assert code == 0
    for path, is_good in large_files(foreign, tmp_path, turn=1):
        code, peak = peak_of(tmp_path / "peak", *command, str(path))
        print(path.name, code, peak - usual)  # noqa: T201  # pytest shows it on failure
        assert (code, peak - usual < AT_PEAK) == (0 if is_good else 1, True), path.name
