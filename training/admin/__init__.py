"""The admin: each page parses, calls the same function as the API, and says what happened."""

from training.admin import (
    anomalies,
    backups,
    findings,
    imports,
    label_findings,
    notices,
    people,
    quality_checks,
    queue,
    schedule,
    sessions,
    timeline,
    versions,
)

__all__ = [
    "anomalies",
    "backups",
    "findings",
    "imports",
    "label_findings",
    "notices",
    "people",
    "quality_checks",
    "queue",
    "schedule",
    "sessions",
    "timeline",
    "versions",
]
