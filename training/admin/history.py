"""The history page: who changed what, when and why, old beside new."""

from typing import Any

from django.contrib.admin.utils import display_for_field
from simple_history.models import ModelDelta
from simple_history.template_utils import HistoricalRecordContextHelper

# The page's own columns say these already.
SAID = {"reviewed_by", "reviewed_at"}


class ChangesInWords(HistoricalRecordContextHelper):
    """Old and new values as the rest of the admin shows them: words, not codes."""

    def context_for_delta_changes(self, delta: ModelDelta) -> list[dict[str, Any]]:
        changes = [change for change in delta.changes if change.field not in SAID]
        shown = [self.format_delta_change(change) for change in changes]
        return [{"field": change.field, "old": change.old, "new": change.new} for change in shown]

    def prepare_delta_change_value(self, change: Any, value: Any) -> str:
        return display_for_field(value, self.model._meta.get_field(change.field), "–")  # noqa: SLF001 — Django documents _meta
