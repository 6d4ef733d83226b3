"""A quick check of a running service; it changes nothing. Run: python examples/check_pipeline.py"""

import sys
from collections.abc import Callable

from client import BASE, call

REPORT = {
    "anomaly_id": "CHECK_001",
    "description": "Fuite d'huile sur le palier de la pompe alimentaire",
    "equipment_name": "Pompe alimentaire A",
    "equipment_id": "check-pump",
}


def service_is_healthy() -> bool:
    status, body = call("GET", "/health")
    return status == 200 and body["status"] == "healthy" and body["models_loaded"] is True


def status_has_the_guides_fields() -> bool:
    status, body = call("GET", "/train/status")
    fields = {"is_training", "training_sessions_completed", "available_backups", "last_training"}
    return status == 200 and fields <= body.keys()


def backups_are_listed_newest_first() -> bool:
    status, body = call("GET", "/train/backups")
    names = [backup["name"] for backup in body["backups"]]
    return status == 200 and body["count"] == len(names) and names == sorted(names, reverse=True)


def a_bad_record_is_refused_in_the_guides_words() -> bool:
    scores = {"availability_score": 6, "fiability_score": 2, "process_safety_score": 4}
    status, body = call("POST", "/train", [REPORT | scores])
    expected = ["Record 1: availability_score must be between 1 and 5, got 6"]
    return status == 400 and body["success"] is False and body["validation_errors"] == expected


def a_report_gets_three_whole_scores() -> bool:
    status, body = call("POST", "/predict", REPORT)
    scores = [
        body["predictions"][name]["score"] for name in ("availability", "reliability", "process_safety")
    ]
    return status == 200 and all(score in range(1, 6) for score in scores)


CHECKS: list[Callable[[], bool]] = [
    service_is_healthy,
    status_has_the_guides_fields,
    backups_are_listed_newest_first,
    a_bad_record_is_refused_in_the_guides_words,
    a_report_gets_three_whole_scores,
]


def main() -> int:
    print(f"Checking {BASE.geturl()}")
    passed = 0
    for check in CHECKS:
        good = check()
        passed += good
        print(f"  {'ok    ' if good else 'FAILED'}  {check.__name__.replace('_', ' ')}")
    print(f"{passed} of {len(CHECKS)} checks passed")
    return 0 if passed == len(CHECKS) else 1


if __name__ == "__main__":
    sys.exit(main())
