"""The health of the loop in a row: what serves, and how well, what was trained, backed up, and drifts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from predictions.dashboard.quality import TONES, VERDICTS, drift_in_words, judged_period
from training import artifacts
from training.admin.confusions import cell_url, held_out_url
from training.admin.figures import TARGET_WORDS
from training.admin.labels import age, decimals, duration
from training.admin.session_words import told
from training.models import Activation, Backup, ModelVersion, QualityReport, TrainingSession

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


def cards(version: ModelVersion | None, drift: QualityReport | None) -> Iterator[tuple[str, Card]]:
    yield "training.view_modelversion", _version_card(version)
    yield "training.view_trainingsession", _session_card(last_session())
    yield "training.view_backup", _backup_card(Backup.objects.available().first())
    yield "training.view_qualityreport", _drift_card(drift)


def last_session() -> TrainingSession | None:
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
        detail = told(session.reason) or _("in %(duration)s") % {"duration": duration(session.seconds)}
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


def _drift_card(report: QualityReport | None) -> Card:
    title, url = _("Drift"), "#drift"
    if report is None:
        return Card(title=title, value=_("never"), url=url, tone=WATCH, word=_("to do"))
    verdict = (judged_period(report) or {}).get("verdict", "too few")
    return Card(
        title=title,
        value=age(report.created_at),
        detail=drift_in_words(report),
        url=url,
        tone=TONES.get(verdict, WATCH),
        word=str(VERDICTS.get(verdict, verdict)),
    )


def scores(version: ModelVersion | None, *, may: Callable[[str], bool]) -> list[dict[str, str | Promise]]:
    """Per score the held-out MAE, the dummy's beside it, and its trend: against the champion of its day.

    Each leads to the records that it was measured on, or to the version where those are not known.
    """
    if version is None:
        return []
    metrics, records = version.metrics, held_out_url(version, may=may)
    page = reverse("admin:training_modelversion_change", args=[version.pk])
    model, dummy = metrics.get("model") or {}, metrics.get("dummy") or {}
    champion = (version.comparison or {}).get("champion") or {}
    return [
        {
            "name": word,
            "url": cell_url(records, score=target) or page,
            "mae": decimals(model[target]["mae"], 2),
            "dummy": decimals(dummy[target]["mae"], 2),
            "trend": _trend(model[target]["mae"], champion.get(target)),
        }
        for target, word in TARGET_WORDS.items()
        if target in model
    ]


def _trend(mae: float | None, champions: float | None) -> str:
    """On the same held-out records."""
    if mae is None or champions is None:
        return ""
    difference = round(mae - champions, 3)
    if not difference:
        return _("= as the champion before")
    words = (
        _("▲ %(points)s worse than the champion before")
        if difference > 0
        else _("▼ %(points)s better than the champion before")
    )
    return words % {"points": decimals(abs(difference), 3)}
