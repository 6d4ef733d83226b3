"""Imports: choose files, see what they hold and what they would change, confirm; and what was imported."""

from datetime import UTC, datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.decorators import display
from unfold.widgets import INPUT_CLASSES, UnfoldAdminRadioSelectWidget

from training import file_imports
from training.admin import labels
from training.admin.base import WORKING, ReadOnlyAdmin, existing, person, refusals_as_messages
from training.admin.refusals import in_words
from training.errors import TrainingError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, FileImport

LIST = "admin:training_fileimport_changelist"
COLOURS = {"waiting": "warning", "stored": "success", "discarded": "default"}
STATUSES = [
    (Anomaly.Status.APPROVED, gettext_lazy("approved: models learn from them")),
    (Anomaly.Status.PENDING, gettext_lazy("pending: to be reviewed first")),
]
# The first rows: what a person recognises them by, and ids last.
SHOWN = (
    "description",
    "equipment_name",
    "section",
    "detected_at",
    *SCORE_COLUMNS,
    "system",
    "equipment_id",
    "anomaly_id",
)
CLASSES = {**dict.fromkeys(SCORE_COLUMNS, "tp-number"), "detected_at": "tp-whole"}
COUNTS = ("rows_created", "rows_updated", "rows_unchanged", "rows_duplicate", "rows_refused")


def may_import(request: HttpRequest) -> bool:
    """Whoever adds anomalies and gives them their scores: what is imported may be approved at once."""
    return request.user.has_perms(["training.add_anomaly", "training.review_anomaly"])


class FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One file or several: https://docs.djangoproject.com/en/5.2/topics/http/file-uploads/"""

    widget = FilesInput(attrs={"accept": ".csv,.xlsx", "class": " ".join(INPUT_CLASSES)})

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        one = super().clean
        return [one(file, initial) for file in data] if data else [one(data, initial)]


class UploadForm(forms.Form):
    uploads = FilesField(
        label=gettext_lazy("Files"),
        help_text=gettext_lazy(
            "One CSV or Excel file (.xlsx) with all three scores, or the customer's three files together."
        ),
    )
    status = forms.ChoiceField(
        label=gettext_lazy("Import as"),
        choices=STATUSES,
        initial=Anomaly.Status.APPROVED,
        widget=UnfoldAdminRadioSelectWidget,
    )


@admin.register(FileImport)
class FileImportAdmin(ReadOnlyAdmin):
    list_display = (
        "files",
        "status_badge",
        "new",
        "changed",
        "identical",
        "duplicate",
        "refused",
        "uploaded_at",
    )
    list_select_related = ("created_by",)
    list_filter = (("status", ChoicesCheckboxFilter), ("created_at", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("file_names", "created_by__username")

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.view_anomaly")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_import(request)

    # --- The list ------------------------------------------------------------------------------

    @display(description=gettext_lazy("files"), header=True)
    def files(self, row: FileImport) -> list[str]:
        kind = row.get_anomaly_status_display()
        return [str(row), f"{kind} · {row.created_by}" if row.created_by else kind]

    @display(description=gettext_lazy("uploaded at"), ordering="id")
    def uploaded_at(self, row: FileImport) -> str:
        return labels.moment(row.created_at)

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, row: FileImport) -> SafeString:
        return labels.badge(row.get_status_display(), COLOURS[row.status])

    @display(description=gettext_lazy("new"), ordering="rows_created")
    def new(self, row: FileImport) -> str:
        return _count(row.rows_created)

    @display(description=gettext_lazy("changed"), ordering="rows_updated")
    def changed(self, row: FileImport) -> str:
        return _count(row.rows_updated)

    @display(description=gettext_lazy("identical"), ordering="rows_unchanged")
    def identical(self, row: FileImport) -> str:
        return _count(row.rows_unchanged)

    @display(description=gettext_lazy("duplicate"), ordering="rows_duplicate")
    def duplicate(self, row: FileImport) -> str:
        return _count(row.rows_duplicate)

    @display(description=gettext_lazy("refused"), ordering="rows_refused")
    def refused(self, row: FileImport) -> str:
        return _count(row.rows_refused)

    # --- One import ----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        views = {
            "store": self.store_view,
            "discard": self.discard_view,
            "refused": self.refused_view,
            "progress": self.progress_view,
        }
        ours = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"training_fileimport_{name}",
            )
            for name, view in views.items()
        ]
        return [*ours, *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Choose files. What they hold is on the page that follows."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if form.is_valid():
            try:
                received = file_imports.receive_files(
                    files=form.cleaned_data["uploads"],
                    status=Anomaly.Status(form.cleaned_data["status"]),
                    user=person(request),
                )
                return HttpResponseRedirect(_page_of(received))
            except TrainingError as error:
                form.add_error("uploads", in_words(str(error)))
        return self._page(request, "admin/training/import_upload.html", _("Import anomalies"), form=form)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What the files hold and would change, or what was imported."""
        row = self.get_object(request, object_id)
        if row is None:
            return cast("HttpResponse", self._get_obj_does_not_exist_redirect(request, self.opts, object_id))
        if not self.has_view_permission(request, row) or request.method == "POST":
            raise PermissionDenied
        return self._page(
            request,
            "admin/training/import_preview.html",
            str(row),
            row=row,
            counts=[(_label(FileImport, name), _count(getattr(row, name)), name) for name in COUNTS],
            files=[
                (name, [(title, field and _label(Anomaly, field)) for title, field in titles])
                for name, titles in row.columns
            ],
            shown=[(_label(Anomaly, name), CLASSES.get(name, "")) for name in SHOWN],
            first_rows=[
                [(_cell(name, cells[name]), CLASSES.get(name, "")) for name in SHOWN]
                for cells in row.first_rows
            ],
            problems=[(file, line, in_words(problem)) for file, line, problem in row.problems],
            has_refused_file=file_imports.refused_file(row) is not None,
            may_import=row.status == FileImport.Status.WAITING and may_import(request),
            what_happens=_what_happens(row),
        )

    def store_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._waiting(request, object_id)
        with refusals_as_messages(request):
            stored = file_imports.store_import(waiting=row, user=person(request))
            messages.success(request, _what_happened(stored))
        return HttpResponseRedirect(_page_of(row))

    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._waiting(request, object_id)
        with refusals_as_messages(request):
            file_imports.discard_import(waiting=row, user=person(request))
            messages.success(request, _("The import is discarded; nothing was changed."))
        return HttpResponseRedirect(reverse(LIST))

    def refused_view(self, request: HttpRequest, object_id: str) -> FileResponse:
        """The refused rows with their reasons, to be mended and imported again."""
        row: FileImport = existing(self, request, object_id)
        path = file_imports.refused_file(row)
        if path is None:
            raise Http404
        return FileResponse(
            path.open("rb"), as_attachment=True, filename=f"refused_{row.pk}.csv", content_type="text/csv"
        )

    def progress_view(self, request: HttpRequest, object_id: str) -> JsonResponse:
        row: FileImport = existing(self, request, object_id)
        return JsonResponse({"done": file_imports.rows_stored(row), "of": row.rows_good})

    def _waiting(self, request: HttpRequest, object_id: str) -> FileImport:
        """The import that somebody decides on; PermissionDenied for who may not, and for a mere look."""
        row: FileImport = existing(self, request, object_id)
        if not may_import(request) or request.method != "POST":
            raise PermissionDenied
        return row

    def _page(self, request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
        own = {"opts": self.opts, "title": title, "media": WORKING}
        common = {**self.admin_site.each_context(request), **own}
        return TemplateResponse(request, template, {**common, **context})


def _page_of(row: FileImport) -> str:
    return reverse("admin:training_fileimport_change", args=[row.pk])


def _count(count: int) -> str:
    return number_format(count, force_grouping=True)


def _cell(name: str, value: str | float) -> str:
    if isinstance(value, str) and name == "detected_at":
        return labels.moment(datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None)
    return value if isinstance(value, str) else labels.number(value)


def _label(model: type[Anomaly] | type[FileImport], field: str) -> str:
    return capfirst(str(model._meta.get_field(field).verbose_name))  # type: ignore[union-attr]  # noqa: SLF001 — Django documents _meta


def _what_happens(row: FileImport) -> list[str]:
    """What confirming would change, in sentences."""
    created = ngettext("%(count)s anomaly is added.", "%(count)s anomalies are added.", row.rows_created) % {
        "count": _count(row.rows_created)
    }
    updated = ngettext(
        "%(count)s anomaly is changed; its former values stay in its history.",
        "%(count)s anomalies are changed; their former values stay in their histories.",
        row.rows_updated,
    ) % {"count": _count(row.rows_updated)}
    said = [words for count, words in ((row.rows_created, created), (row.rows_updated, updated)) if count]
    if not said:
        return [
            _("Nothing would change: every good row is stored already.")
            if row.rows_good
            else _("No row can be imported.")
        ]
    if row.anomaly_status == Anomaly.Status.APPROVED:
        return [*said, _("They are approved: models learn from them.")]
    return [*said, _("They go to the review queue.")]


def _what_happened(row: FileImport) -> str:
    return _("Imported: %(created)s new, %(updated)s changed, %(unchanged)s identical.") % {
        "created": _count(row.rows_created),
        "updated": _count(row.rows_updated),
        "unchanged": _count(row.rows_unchanged),
    }
