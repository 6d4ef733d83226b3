"""Imports, for figures 1 and 9: killed at each step, or met by a full disk; what the admin calls."""

import itertools
import os
import signal
from collections.abc import Callable
from functools import partial

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from faults.invariants import Ledger
from faults.product import SCORES, Product
from faults.table import Effort, Table
from training import file_imports
from training.ml import failpoints
from training.models import Anomaly, FileImport

RECEIVING = ("import.file", "import.kept", "import.looked", "import.received")
STORING = ("import.decided", "records.stored", "import.stored", "import.committed")
HEADINGS = ("anomaly_id", "description", "equipment_name", "equipment_id", *SCORES)
WAITING, STORED = FileImport.Status.WAITING, FileImport.Status.STORED
# In a process of its own that dies there.
RECEIVE = "from faults import imports; imports.receive({csv!r})"
STORE = (
    "from training import file_imports; from training.models import FileImport;"
    "file_imports.store_import(waiting=FileImport.objects.get(pk={pk}), user=None)"
)

_numbers = itertools.count()


def receive(csv: str) -> FileImport:
    file = SimpleUploadedFile("import.csv", csv.encode())
    return file_imports.receive_files(files=[file], status=Anomaly.Status.APPROVED, user=None)


def killed(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """A part of figure 1."""
    for point in effort.share(RECEIVING, apart=2):
        with table.row(1, f"kill -9 of an import at {point}") as row, row.trial():
            _, csv = _file(product)
            _kill(product, point, RECEIVE.format(csv=csv))
            for waiting in FileImport.objects.filter(status=WAITING):
                file_imports.discard_import(waiting=waiting, user=None)
            ledger.check()
    for point in effort.share(STORING, apart=2):
        with table.row(1, f"kill -9 of an import at {point}") as row, row.trial():
            batch, csv = _file(product)
            waiting = receive(csv)
            _kill(product, point, STORE.format(pk=waiting.pk))
            waiting.refresh_from_db()
            assert waiting.status == (STORED if point == "import.committed" else WAITING)
            if waiting.status == WAITING:
                ledger.check()
                file_imports.store_import(waiting=waiting, user=None)
            ledger.accept(batch)
            ledger.check()


def disk_full(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """A part of figure 9."""
    for point in effort.share(RECEIVING[:-1]):
        with table.row(9, f"disk full, import at {point}") as row, row.trial():
            _, csv = _file(product)
            _refused(point, partial(receive, csv))
            assert not FileImport.objects.filter(status=WAITING).exists()
            ledger.check()
    for point in effort.share(STORING[:-1]):
        with table.row(9, f"disk full, import at {point}") as row, row.trial():
            batch, csv = _file(product)
            waiting = receive(csv)
            _refused(point, partial(file_imports.store_import, waiting=waiting, user=None))
            ledger.check()
            file_imports.store_import(waiting=waiting, user=None)
            ledger.accept(batch)
            ledger.check()


def _file(product: Product) -> tuple[list[dict[str, object]], str]:
    """Two records that are new or have new scores, and a file that says so."""
    batch = [product.record(f"I-{n}", next(_numbers)) for n in range(2)]
    lines = [";".join(str(record[name]) for name in HEADINGS) for record in batch]
    return batch, "\n".join([";".join(HEADINGS), *lines, ""])


def _kill(product: Product, point: str, code: str) -> None:
    environment = os.environ | {"FAILPOINTS": f"{point}=kill"}
    done = product.manage("shell", "--verbosity=0", "--command", code, env=environment)
    assert done.returncode == -signal.SIGKILL, f"{done.returncode} {done.stderr[-500:]}"


def _refused(point: str, act: Callable[[], object]) -> None:
    with failpoints.armed(f"{point}=oserror:ENOSPC"), pytest.raises(OSError, match="No space left on device"):
        act()
