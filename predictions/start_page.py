"""The start page: what waits, whether all is well, and the next step. Readable in three seconds.

Below that, its charts. Everybody sees what they may see; `predictions.dashboard` tells the stories.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from predictions.dashboard import accuracy, anomalies, quality
from predictions.dashboard.charts import Chart
from predictions.dashboard.figures import Figure, of_accuracy, of_storage, of_trainings
from predictions.dashboard.first_steps import first_steps
from predictions.dashboard.health import cards, last_session, scores
from predictions.dashboard.storage import Kept, backup_storage, kept_backups
from predictions.dashboard.trainings import Trainings, frequency, records_added, time_taken
from training.admin.findings import problems
from training.admin.quality_checks import check_links
from training.admin.sessions import newly_approved
from training.models import ModelVersion, QualityReport, TrainingSession


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: the context of templates/admin/index.html."""
    may = request.user.has_perm
    version = ModelVersion.objects.active()
    drift = quality.newest_drift() if may("training.view_qualityreport") else None
    checks = check_links(request)
    context["title"] = _("Start")
    steps = [] if version or ModelVersion.objects.exists() else first_steps(may=may)
    nothing_yet = bool(steps) and last_session() is None
    context["steps"] = steps
    context["cards"] = [card for allow, card in cards(version, drift) if may(allow) and not nothing_yet]
    context["scores"] = scores(version, may=may) if may("training.view_modelversion") else []
    context["training"] = _training(may) if may("training.train_models") else None
    context["problems"] = problems() if may("training.view_finding") else []
    context["waiting"] = None
    if may("training.view_anomaly"):
        totals = anomalies.totals()
        context["waiting"] = anomalies.waiting(totals.counts, may=may)
        context["totals"] = None if totals.is_empty else totals
        context["labels"] = None if steps else quality.label_alerts(checks)
    if not steps:
        trainings, kept = Trainings(), kept_backups()
        figures = _figures(version, trainings, kept)
        context["figures"] = [figure for allow, figure in figures if may(allow)]
        sees_models = may("training.view_modelversion")
        context["confusions"] = accuracy.confusions(version, may=may) if sees_models else []
        context["is_unmeasured"] = sees_models and version is not None and not version.metrics.get("rows")
        context["charts"] = list(_charts(may, trainings, kept, drift, checks))
        context["chart_script"] = forms.Media(js=["predictions/dashboard.js"])
    return context


def _figures(version: ModelVersion | None, trainings: Trainings, kept: Kept) -> Iterator[tuple[str, Figure]]:
    """With who may see each, in the order of the guide."""
    for figure in of_trainings(trainings):
        yield "training.view_trainingsession", figure
    for figure in of_accuracy(version):
        yield "training.view_modelversion", figure
    for figure in of_storage(kept):
        yield "training.view_backup", figure


def _charts(
    may: Callable[[str], bool],
    trainings: Trainings,
    kept: Kept,
    drift: QualityReport | None,
    checks: quality.Checks,
) -> Iterator[Chart]:
    if may("training.view_anomaly"):
        yield anomalies.weeks()
    if may("training.view_modelversion"):
        yield accuracy.by_version(accuracy.measured_versions(), may=may)
    if may("training.view_qualityreport"):
        yield quality.drift(drift, checks)
    if may("training.view_trainingsession"):
        yield frequency(trainings)
        yield time_taken(trainings)
        yield records_added(trainings)
    if may("training.view_backup"):
        yield backup_storage(kept)


def _training(may: Callable[[str], bool]) -> dict[str, Any]:
    sentence, records_url = newly_approved()
    running = TrainingSession.objects.active().first()
    return {
        "sentence": sentence,
        "records_url": records_url if may("training.view_anomaly") else "",
        "running": running,
        "url": reverse("admin:training_trainingsession_change", args=[running.pk])
        if running
        else reverse("admin:training_trainingsession_train_now"),
    }
