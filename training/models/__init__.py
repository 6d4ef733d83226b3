"""Rows, their constraints, and facts about one row. What touches two of them or the disk is a service."""

from training.models.anomaly import Anomaly
from training.models.backup import Backup
from training.models.file_import import FileImport
from training.models.installation import Installation
from training.models.list_layout import ListLayout
from training.models.notices import Delivery, Event, MailSubscription, Webhook
from training.models.policy import TrainingPolicy
from training.models.quality import LabelFinding, QualityReport
from training.models.quality_check import QualityCheck
from training.models.review import Review, ReviewLease, disputed
from training.models.score_change import ScoreChange
from training.models.session import TrainingSession
from training.models.session_log import SessionLogEntry
from training.models.version import Activation, ModelVersion
from training.models.watch import Finding, QueueNode, WebNode

__all__ = [
    "Activation",
    "Anomaly",
    "Backup",
    "Delivery",
    "Event",
    "FileImport",
    "Finding",
    "Installation",
    "LabelFinding",
    "ListLayout",
    "MailSubscription",
    "ModelVersion",
    "QualityCheck",
    "QualityReport",
    "QueueNode",
    "Review",
    "ReviewLease",
    "ScoreChange",
    "SessionLogEntry",
    "TrainingPolicy",
    "TrainingSession",
    "WebNode",
    "Webhook",
    "disputed",
]
