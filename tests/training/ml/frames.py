"""Small invented training sets with something to learn in them."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from training.ml.records import COLUMNS, SCORE_COLUMNS

FAULTS = {
    "fuite d'huile légère sur": (1, 1, 2),
    "bruit anormal au démarrage de": (2, 1, 1),
    "FUITE VAPEUR IMPORTANTE": (3, 2, 5),
    "vibration élevée palier": (4, 2, 3),
    "fissure au niveau de": (5, 3, 4),
    "calorifuge à reprendre": (1, 1, 1),
}
MACHINES = ("la pompe alimentaire", "ventilateur d'air", "broyeur à charbon", "vanne de purge", "convoyeur")
SIDES = ("A", "B", "côté commande", "côté libre", "ligne 3")


def row(**changes: Any) -> dict[str, Any]:
    """One report with everything known."""
    values = dict.fromkeys(COLUMNS, "") | dict.fromkeys(SCORE_COLUMNS, 1.0)
    return (
        values
        | {
            "anomaly_id": "A-1",
            "description": "fuite d'eau au presse-étoupe",
            "equipment_name": "Pompe de relevage",
            "equipment_id": "eq-1",
            "detected_at": datetime(2024, 1, 1),  # noqa: DTZ001  # frames hold naive UTC
        }
        | changes
    )


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame["detected_at"] = pd.to_datetime(frame["detected_at"])
    return frame.astype(dict.fromkeys(SCORE_COLUMNS, float))


def reports() -> pd.DataFrame:
    """150 reports, all texts different, four days apart, from 2023-01-01 to 2024-08-19."""
    rows = []
    for number, (side, machine, fault) in enumerate(itertools.product(SIDES, MACHINES, FAULTS)):
        rows.append(
            row(
                anomaly_id=f"A-{number}",
                description=f"{fault} {machine} {side}",
                equipment_name=machine.title(),
                equipment_id=f"eq-{MACHINES.index(machine)}{SIDES.index(side)}",
                detected_at=datetime(2023, 1, 1) + number * timedelta(days=4),  # noqa: DTZ001  # as above
                **dict(zip(SCORE_COLUMNS, FAULTS[fault], strict=True)),
            )
        )
    return frame_of(*rows)
