"""The start page: what waits, whether all is well, and the next step. Readable in three seconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from predictions.admin import suggested_in_band
from predictions.services import LOOKED_AT, suggest_for_queue
from training import artifacts
from training.admin.figures import TARGET_WORDS
from training.admin.labels import age, decimals, duration
from training.admin.sessions import newly_approved_in_words
from training.criticality import in_band
from training.models import Activation, Anomaly, Backup, ModelVersion, TrainingSession

GOOD, WATCH, BAD = "good", "watch", "bad"
SESSION_TONES = {
    TrainingSession.Status.FAILED: BAD,
    TrainingSession.Status.CANCELLED: WATCH,
    TrainingSession.Status.SUCCEEDED: GOOD,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One fact about the health of the loop, and the page behind it."""

    title: str
    value: str
    detail: str = ""
    url: str
    tone: str = GOOD
    word: str = ""  # what the tone's colour says


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a new installation still needs."""

    title: str
    text: str
    is_done: bool
    url: str = ""
    button: str = ""


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: the context of templates/admin/index.html."""
    suggest_for_queue()
    may = request.user.has_perm
    version = ModelVersion.objects.active()
    context["title"] = _("Start")
    steps = [] if version or ModelVersion.objects.exists() else _first_steps()
    nothing_yet = bool(steps) and _last_session() is None
    context["steps"] = steps
    context["waiting"] = _waiting() if may("training.view_anomaly") else None
    context["cards"] = [card for permission, card in _cards(version) if may(permission) and not nothing_yet]
    context["scores"] = _scores(version) if may("training.view_modelversion") else []
    context["training"] = _training() if may("training.train_models") else None
    return context


def _waiting() -> dict[str, Any]:
    pending = Anomaly.objects.pending()
    url = reverse("admin:training_anomaly_changelist") + "?status__exact=pending"
    count = pending.count()
    critical, is_all = _critical(pending)
    return {
        "count": count,
        "words": ngettext("anomaly to review", "anomalies to review", count),
        "critical": critical,
        "critical_words": ngettext("%(count)s of them critical", "%(count)s of them critical", critical)
        % {"count": number_format(critical) + ("" if is_all else "+")},
        "url": url,
        "critical_url": f"{url}&band=critical",
    }


def _critical(pending: QuerySet[Anomaly]) -> tuple[int, bool]:
    """How many are critical, by their own scores or else by the suggested ones; whether that is all.

    Of the unscored no more than LOOKED_AT are looked at.
    """
    unscored = pending.filter(criticality=None)
    some = Anomaly.objects.filter(pk__in=unscored.values("pk")[:LOOKED_AT])
    count = pending.filter(in_band("critical")).count() + some.filter(suggested_in_band("critical")).count()
    return count, not unscored[LOOKED_AT:].exists()


def _cards(version: ModelVersion | None) -> Iterator[tuple[str, Card]]:
    yield "training.view_modelversion", _version_card(version)
    yield "training.view_trainingsession", _session_card(_last_session())
    yield "training.view_backup", _backup_card(Backup.objects.available().first())


def _last_session() -> TrainingSession | None:
    return TrainingSession.objects.exclude(status=TrainingSession.Status.SKIPPED).first()


def _version_card(version: ModelVersion | None) -> Card:
    title = _("Active model")
    if version is None:
        return Card(
            title=title,
            value=_("none"),
            detail=_("Nothing is suggested until a version is active."),
            url=reverse("admin:training_modelversion_changelist"),
            tone=BAD,
            word=_("to do"),
        )
    since = Activation.objects.filter(version=version).values_list("activated_at", flat=True).first()
    return Card(
        title=title,
        value=str(version),
        detail=_("trained %(trained)s on %(rows)s records, activated %(since)s")
        % {
            "trained": age(version.created_at),
            "rows": number_format(version.dataset_rows, force_grouping=True),
            "since": age(since),
        },
        url=reverse("admin:training_modelversion_change", args=[version.pk]),
        tone=BAD if version.verification_error else GOOD,
        word=_("damaged") if version.verification_error else _("serves"),
    )


def _session_card(session: TrainingSession | None) -> Card:
    title = _("Last training")
    if session is None:
        url = reverse("admin:training_trainingsession_changelist")
        return Card(title=title, value=_("never"), url=url, tone=WATCH, word=_("to do"))
    if session.is_active:
        detail = f"{session.get_step_display()}, {session.progress} %"
    else:
        detail = session.reason or _("in %(duration)s") % {"duration": duration(session.seconds)}
    return Card(
        title=title,
        value=age(session.finished_at or session.queued_at),
        detail=detail,
        url=reverse("admin:training_trainingsession_change", args=[session.pk]),
        tone=SESSION_TONES.get(TrainingSession.Status(session.status), WATCH),
        word=session.get_status_display(),
    )


def _backup_card(backup: Backup | None) -> Card:
    title = _("Last backup")
    if backup is None:
        url = reverse("admin:training_backup_changelist")
        return Card(title=title, value=_("never"), url=url, tone=WATCH, word=_("to do"))
    is_verified, used = backup.verified_at is not None, artifacts.storage_used()
    return Card(
        title=title,
        value=age(backup.created_at),
        detail=backup.verification_error
        or _(
            "%(count)s records, %(size)s; verified %(verified)s. On disk: models %(models)s, backups %(all)s"
        )
        % {
            "count": number_format(backup.record_count, force_grouping=True),
            "size": filesizeformat(backup.size_bytes),
            "verified": age(backup.verified_at),
            "models": filesizeformat(used[ModelVersion.DIRECTORY]),
            "all": filesizeformat(used[Backup.DIRECTORY]),
        },
        url=reverse("admin:training_backup_change", args=[backup.pk]),
        tone=BAD if backup.verification_error else GOOD if is_verified else WATCH,
        word=_("damaged")
        if backup.verification_error
        else _("verified")
        if is_verified
        else _("not verified"),
    )


def _scores(version: ModelVersion | None) -> list[dict[str, str | Promise]]:
    """Per score the held-out MAE, and the dummy's beside it."""
    metrics = version.metrics if version else {}
    model, dummy = metrics.get("model") or {}, metrics.get("dummy") or {}
    return [
        {"name": word, "mae": decimals(model[target]["mae"], 2), "dummy": decimals(dummy[target]["mae"], 2)}
        for target, word in TARGET_WORDS.items()
        if target in model
    ]


def _training() -> dict[str, Any]:
    running = TrainingSession.objects.active().first()
    return {
        "sentence": newly_approved_in_words(),
        "running": running,
        "url": reverse("admin:training_trainingsession_change", args=[running.pk])
        if running
        else reverse("admin:training_trainingsession_train_now"),
    }


def _first_steps() -> list[Step]:
    anomalies = Anomaly.objects.all()
    list_url = reverse("admin:training_anomaly_changelist")
    return [
        Step(
            title=_("Import"),
            text=_("Scored anomalies from CSV or Excel: python manage.py import_anomalies FILE…"),
            is_done=anomalies.approved().exists(),
            url=list_url,
            button=_("Anomalies"),
        ),
        Step(
            title=_("Train"),
            text=_("Seconds to minutes; a backup is made first and the result is measured."),
            is_done=False,
            url=reverse("admin:training_trainingsession_train_now"),
            button=_("Train now"),
        ),
        Step(
            title=_("Review"),
            text=_("The model suggests scores for new reports; an expert approves or corrects them."),
            is_done=False,
            url=f"{list_url}?status__exact=pending",
            button=_("Review"),
        ),
    ]
