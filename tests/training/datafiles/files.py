"""Files for tests: rows in the customer's form, and in ours."""

from pathlib import Path

from training.datafiles import CUSTOMER_FILES
from training.ml.records import COLUMNS

TEXTS = (
    "Num_equipement,Systeme,Description,Date de détéction de l'anomalie,"
    "Description de l'équipement,Section propriétaire"
)
TITLES = ("Disponibilté", "Fiabilité Intégrité", "Process Safety")


def write_customer(directory: Path, *rows: str, titles: tuple[str, str, str] = TITLES) -> list[Path]:
    """Three aligned files. A row is its six texts as in CSV, then a blank and the three scores: `… 1/2/3`."""
    paths = [directory / name for name in CUSTOMER_FILES.values()]
    for position, (path, title) in enumerate(zip(paths, titles, strict=True)):
        lines = [f"{TEXTS},{title}"]
        for row in rows:
            texts, scores = row.rsplit(" ", 1)
            lines.append(f"{texts},{scores.split('/')[position]}")
        path.write_bytes(("\n".join(lines) + "\n").encode())
    return paths


def write_single(path: Path, *rows: str, header: str = ",".join(COLUMNS)) -> Path:
    path.write_bytes(("\n".join([header, *rows]) + "\n").encode())
    return path


PUMP = "p-1,Eau,Fuite garniture,2024-01-02 03:04:05,Pompe,MEC 1/2/3"
FAN = "f-1,Air,Vibration palier,2024-01-03 03:04:05,  ,MEC 5/1/2.5"
