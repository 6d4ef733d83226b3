"""The guide's whole loop against a running service: train, reload, predict, and the way back.

Run: python examples/training_example.py            trains with three records and activates the result
     python examples/training_example.py --restore  and then restores the backup that was made before
"""

import argparse
import sys
from typing import Any

from client import call

ANOMALIES = [
    {
        "anomaly_id": "EXAMPLE_001",
        "description": "Pump bearing overheating during high-load operation",
        "equipment_name": "Primary Circulation Pump",
        "equipment_id": "example-pump-123",
        "availability_score": 4,
        "fiability_score": 3,
        "process_safety_score": 2,
    },
    {
        "anomaly_id": "EXAMPLE_002",
        "description": "Fuite importante de vapeur sur la vanne de régulation, zone à baliser",
        "equipment_name": "Vanne de régulation vapeur",
        "equipment_id": "example-valve-7",
        "availability_score": 3,
        "fiability_score": 2,
        "process_safety_score": 5,
    },
    {
        "anomaly_id": "EXAMPLE_003",
        "description": "Éclairage défectueux au niveau de la passerelle",
        "equipment_name": "Éclairage passerelle",
        "equipment_id": "example-light-2",
        "availability_score": 1,
        "fiability_score": 1,
        "process_safety_score": 2,
    },
]


def expect(status: int, body: dict[str, Any], wanted: int = 200) -> dict[str, Any]:
    if status != wanted:
        sys.exit(f"The service answered {status}: {body}")
    return body


def train() -> str:
    """The backup that was made before the training."""
    result = expect(*call("POST", "/train", ANOMALIES))
    statistics = result["statistics"]
    print(f"Session {result['training_session_id']}: {result['message']}")
    print(
        f"  {statistics['total_records_added']} new records, {statistics['records_updated']} updated, "
        f"{statistics['records_unchanged']} already known, {statistics['training_time_seconds']} s"
    )
    print(f"  backup made before: {statistics['backup_location']}")
    return str(statistics["backup_location"]).rpartition("/")[2]


def predict() -> None:
    fields = ("anomaly_id", "description", "equipment_name", "equipment_id")
    reports = [{name: anomaly[name] for name in fields} for anomaly in ANOMALIES]
    for result in expect(*call("POST", "/predict", reports))["results"]:
        scores = {name: entry["score"] for name, entry in result["predictions"].items()}
        print(f"  {result['anomaly_id']}: {scores}, {result['risk_assessment']['overall_risk_level']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--restore", action="store_true", help="restore the backup made before the training")
    arguments = parser.parse_args()

    status = expect(*call("GET", "/train/status"))
    print(f"{status['training_sessions_completed']} sessions so far, {status['available_backups']} backups")
    backup = train()
    print(expect(*call("POST", "/train/reload"))["message"])
    predict()
    if arguments.restore:
        print(expect(*call("POST", f"/train/restore/{backup}"))["message"])
    else:
        print(f"To undo: curl -X POST http://127.0.0.1:5000/train/restore/{backup}")


if __name__ == "__main__":
    main()
