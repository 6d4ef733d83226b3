"""Files of reports for prediction jobs, as an upload brings them."""

import csv
import io
from collections.abc import Sequence

from django.core.files.uploadedfile import TemporaryUploadedFile

TITLES = ("anomaly_id", "description", "equipment_name", "equipment_id")
ROWS = (
    ("A-1", "fuite vapeur n1", "Vanne", "eq-1"),
    ("A-2", "vibration palier n2", "Vanne", "eq-2"),
    ("A-3", "bruit anormal n3", "Vanne", "eq-0"),
)


def csv_text(rows: Sequence[Sequence[str]] = ROWS, titles: Sequence[str] = TITLES) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([titles, *rows])
    return text.getvalue()


def upload(content: str | bytes, name: str = "night.csv") -> TemporaryUploadedFile:
    raw = content.encode() if isinstance(content, str) else content
    file = TemporaryUploadedFile(name, "text/csv", len(raw), "utf-8")
    file.write(raw)
    file.flush()
    return file
