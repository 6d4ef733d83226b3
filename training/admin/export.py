"""Anomalies as CSV or Excel: what a spreadsheet would run as a formula is made plain text."""

import csv
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from import_export import resources
from import_export.admin import ExportMixin
from import_export.formats.base_formats import CSV, XLSX
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from training.admin.change_lists import answerable
from training.models import Anomaly

FORMATS = [CSV, XLSX]
PIECE = 500  # rows sent at a time
MOST_IN_WORKBOOK = 200_000  # rows: a workbook is sent once it is whole, about a minute later
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class AnomalyResource(resources.ModelResource):
    class Meta:
        model = Anomaly
        fields = (
            "anomaly_id",
            "description",
            "equipment_id",
            "equipment_name",
            "system",
            "section",
            "detected_at",
            "availability_score",
            "fiability_score",
            "process_safety_score",
            "criticality",
            "status",
            "source",
            "reviewed_at",
        )
        export_order = fields


def neutral(cell: Any) -> Any:
    """Text that begins like a formula gets an apostrophe in front, which spreadsheets hide.

    Text that looks like that already gets one too, so an import takes off what an export put on.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


class StreamedExportMixin(ExportMixin):
    """All rows of the list as filtered and searched, however many: a piece of them in memory at a time."""

    resource_classes = [AnomalyResource]
    formats = FORMATS

    def get_export_queryset(self, request: HttpRequest) -> "QuerySet[Anomaly]":
        """Asked once before anything is sent: an answer that has begun cannot be refused."""
        with answerable(request):
            queryset: QuerySet[Anomaly] = super().get_export_queryset(request)
            queryset.exists()
        return queryset

    def _do_file_export(
        self,
        file_format: CSV | XLSX,
        request: HttpRequest,
        queryset: "QuerySet[Anomaly]",
        export_form: Any = None,
    ) -> HttpResponseBase:
        name = self.get_export_filename(request, queryset, file_format)
        if isinstance(file_format, XLSX):
            if queryset.order_by().values("pk")[: MOST_IN_WORKBOOK + 1].count() > MOST_IN_WORKBOOK:
                most = number_format(MOST_IN_WORKBOOK, force_grouping=True)
                raise ValueError(
                    _("More than %(most)s rows: choose CSV, or narrow the list.") % {"most": most}
                )
            return _workbook(rows(queryset), name)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(
            lines(rows(queryset)), content_type="text/csv; charset=utf-8", headers=headers
        )


def rows(anomalies: "QuerySet[Anomaly]") -> Iterator[list[Any]]:
    """The titles, then a row for each anomaly: texts, numbers and naive times."""
    fields = AnomalyResource._meta.fields  # noqa: SLF001 — as documented by import_export
    yield list(fields)
    for values in anomalies.values_list(*fields).iterator(PIECE):
        yield [neutral(timezone.make_naive(cell) if isinstance(cell, datetime) else cell) for cell in values]


class _Echo:
    """A file that gives back what is written."""

    def write(self, text: str) -> str:
        return text


def lines(table: Iterator[list[Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    while piece := list(islice(table, PIECE)):
        yield "".join(writer.writerow(row) for row in piece)


def _workbook(table: Iterator[list[Any]], name: str) -> FileResponse:
    """On disk, since a workbook is whole only at its end."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in table:
        sheet.append(
            [ILLEGAL_CHARACTERS_RE.sub("\ufffd", cell) if isinstance(cell, str) else cell for cell in row]
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115 — the response closes it
    book.save(file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=XLSX.CONTENT_TYPE)


def _storable(cell: Any) -> Any:
    """Without the control characters that no workbook may hold."""
    return ILLEGAL_CHARACTERS_RE.sub("\ufffd", cell) if isinstance(cell, str) else cell
