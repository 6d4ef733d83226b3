"""Anomalies as CSV or Excel: what a spreadsheet would run as a formula is made plain text."""

from typing import Any

from import_export import resources
from import_export.formats.base_formats import CSV, XLSX

from training.models import Anomaly

FORMATS = [CSV, XLSX]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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

    def export_field(self, field: Any, instance: Anomaly, **kwargs: Any) -> Any:
        return neutral(super().export_field(field, instance, **kwargs))


def neutral(cell: Any) -> Any:
    """Text that begins like a formula gets an apostrophe in front, which spreadsheets hide."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell
