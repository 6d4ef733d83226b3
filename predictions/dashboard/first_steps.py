"""What a new installation needs first."""

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from training.models import Anomaly


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a new installation still needs."""

    title: str
    text: str
    is_done: bool
    url: str = ""
    button: str = ""


def first_steps(*, may: Callable[[str], bool]) -> list[Step]:
    """A step without an address is somebody else's to take."""
    anomalies = Anomaly.objects.all()
    may_import = may("training.add_anomaly") and may("training.review_anomaly")
    list_url = reverse("admin:training_anomaly_changelist")
    return [
        Step(
            title=_("Import"),
            text=_("Scored anomalies from CSV or Excel, here or by python manage.py import_anomalies FILE…"),
            is_done=anomalies.approved().exists(),
            url=reverse("admin:training_fileimport_add") if may_import else "",
            button=_("Import anomalies"),
        ),
        Step(
            title=_("Train"),
            text=_("Seconds to minutes; a backup is made first and the result is measured."),
            is_done=False,
            url=reverse("admin:training_trainingsession_train_now") if may("training.train_models") else "",
            button=_("Train now"),
        ),
        Step(
            title=_("Review"),
            text=_("The model suggests scores for new reports; an expert approves or corrects them."),
            is_done=False,
            url=f"{list_url}?status__exact=pending" if may("training.view_anomaly") else "",
            button=_("Review"),
        ),
    ]
