"""The anomalies that a version was measured on: what experts had given, and what was suggested for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from django import forms
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from training import artifacts
from training.admin import labels
from training.admin.base import existing
from training.admin.labels import TARGET_WORDS
from training.errors import UnservableVersionError
from training.ml.held_out import select
from training.ml.records import TARGETS
from training.models import Anomaly, ModelVersion

PER_PAGE = 25
SCORES = [("", gettext_lazy("any")), *((str(score), str(score)) for score in range(1, 6))]


class CellForm(forms.Form):
    """Which of the held-out records: a cell of the confusion matrix, a row, a column, or all of them."""

    score = forms.ChoiceField(
        label=gettext_lazy("Score"),
        choices=[("", gettext_lazy("all three")), *TARGET_WORDS.items()],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    actual = forms.ChoiceField(
        label=gettext_lazy("Actual"), choices=SCORES, required=False, widget=UnfoldAdminSelectWidget
    )
    suggested = forms.ChoiceField(
        label=gettext_lazy("Suggested"), choices=SCORES, required=False, widget=UnfoldAdminSelectWidget
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One anomaly as it was measured, and what has changed since."""

    anomaly: Anomaly
    url: str
    report: str
    equipment: str
    pairs: list[tuple[str, str]]  # of each score that is shown: actual and suggested
    status: str
    scores: str  # today's, where one of those is another


def held_out_view(request: HttpRequest, admin: ModelAdmin, object_id: str) -> HttpResponse:
    """The list behind the numbers of a confusion matrix. Who may not see anomalies too gets a 403."""
    if not request.user.has_perms(["training.view_modelversion", "training.view_anomaly"]):
        raise PermissionDenied
    version: ModelVersion = existing(admin, request, object_id)
    form = CellForm(request.GET)
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": _("Held-out records of %(version)s") % {"version": version},
        "opts": admin.opts,
        "version_url": reverse("admin:training_modelversion_change", args=[version.pk]),
        "version": version,
    }
    try:
        has_list = bool(version.metrics.get("rows")) and artifacts.knows_held_out(version)
        records = artifacts.load_held_out(version) if has_list else None
    except (UnservableVersionError, OSError) as error:
        context["missing"] = _("The held-out records cannot be read: %(reason)s") % {"reason": error}
    else:
        context |= {"missing": _why_none(version)} if records is None else _listed(records, form, request)
    return TemplateResponse(request, "admin/training/held_out.html", context)


def _why_none(version: ModelVersion) -> str:
    if not version.metrics.get("rows"):
        return _("Too few records to hold some out: nothing was measured.")
    if version.pruned_at is not None:
        return _("The files of this version were removed, and with them which records it was measured on.")
    return _("This version does not tell which records it was measured on: it is older than such lists.")


def _listed(records: pd.DataFrame, form: CellForm, request: HttpRequest) -> dict[str, Any]:
    wanted = form.cleaned_data if form.is_valid() else {}
    target = wanted.get("score", "")
    found = select(
        records,
        target=target,
        actual=int(wanted["actual"]) if wanted.get("actual") else None,
        suggested=int(wanted["suggested"]) if wanted.get("suggested") else None,
    )
    if form.errors:
        found = found[:0]
    page: Page[int] = Paginator(range(len(found)), PER_PAGE).get_page(request.GET.get("page"))
    shown = found.iloc[list(page.object_list)]
    targets = (target,) if target else TARGETS
    rows = _rows(shown, targets)
    deleted = len(shown) - len(rows)
    gone = ngettext(
        "%(count)s anomaly of this page was deleted meanwhile.",
        "%(count)s anomalies of this page were deleted meanwhile.",
        deleted,
    )
    return {
        "form": form,
        "heads": [TARGET_WORDS[name] for name in targets],
        "rows": rows,
        "count": _count_in_words(len(found), len(records)),
        "deleted": gone % {"count": deleted} if deleted else "",
        "page": page,
        "query": urlencode({name: value for name, value in wanted.items() if value}),
    }


def _count_in_words(count: int, of: int) -> str:
    words = ngettext(
        "%(count)s of %(all)s held-out record.", "%(count)s of %(all)s held-out records.", of
    ) % {"count": _grouped(count), "all": _grouped(of)}
    return f"{words} {_('The farthest errors come first.')}" if count > 1 else words


def _rows(shown: pd.DataFrame, targets: tuple[str, ...]) -> list[Row]:
    """Of those that still exist: of the database the anomalies of one page alone are asked."""
    anomalies = Anomaly.objects.in_bulk(shown["anomaly_id"].tolist(), field_name="anomaly_id")
    records = shown.set_index("anomaly_id").to_dict("index")
    return [_row(anomalies[name], record, targets) for name, record in records.items() if name in anomalies]


def _row(anomaly: Anomaly, record: Mapping[Any, float], targets: tuple[str, ...]) -> Row:
    today = [getattr(anomaly, f"{target}_score") for target in targets]
    is_other = today != [record[f"{target}_score"] for target in targets]
    is_approved = anomaly.status == Anomaly.Status.APPROVED
    return Row(
        anomaly=anomaly,
        url=reverse("admin:training_anomaly_change", args=[anomaly.pk]),
        report=Truncator(anomaly.description).chars(120),
        equipment=anomaly.equipment_name.strip() or anomaly.equipment_id,
        pairs=[
            (labels.number(record[f"{target}_score"]), labels.number(record[f"{target}_suggested"]))
            for target in targets
        ],
        status="" if is_approved else anomaly.get_status_display(),
        scores=" · ".join(labels.number(score) for score in today) if is_other else "",
    )


def _grouped(count: int) -> str:
    return number_format(count, force_grouping=True)
