"""The filter by equipment: thousands exist, so one is searched for by id or name."""

from collections import Counter

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import TextFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm
from unfold.widgets import UnfoldAdminSelectWidget

from training.ml.records import normalise_text
from training.models import Anomaly

MOST = 10_000  # pieces of equipment that are searched; any id that is typed in full is found
PER_PAGE = 20


class EquipmentForm(forms.Form):
    """unfold's autocompleted choice, over what anomalies name instead of over rows of a table."""

    def __init__(self, *, name: str, label: str, data: dict[str, str | None]) -> None:
        super().__init__(data)
        chosen = data[name]
        widget = UnfoldAdminSelectWidget(
            attrs={
                "class": "unfold-filter-autocomplete admin-autocomplete",
                "data-ajax--url": reverse("admin:training_anomaly_equipment"),
                "data-ajax--delay": "250",
                "data-theme": "admin-autocomplete",
                "data-allow-clear": "true",
                "data-placeholder": "",
            }
        )
        choices = [("", ""), *([(chosen, _named(chosen))] if chosen else [])]
        self.fields[name] = forms.ChoiceField(label=label, required=False, choices=choices, widget=widget)

    class Media:
        # unfold's, and the words of select2 in the other language: between select2 and what hides jQuery.
        js = (
            *AutocompleteDropdownForm.Media.js[:2],
            "admin/js/vendor/select2/i18n/fr.js",
            *AutocompleteDropdownForm.Media.js[2:],
        )
        css = AutocompleteDropdownForm.Media.css


class EquipmentFilter(TextFilter):
    title = _("equipment")
    parameter_name = "equipment"
    form_class = EquipmentForm

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
        return queryset.filter(equipment_id=self.value()) if self.value() else queryset


def equipment_view(request: HttpRequest) -> JsonResponse:
    """The equipment whose id or name has every word that was typed, whatever accents and case, in pages."""
    if not request.user.has_perm("training.view_anomaly"):
        raise PermissionDenied
    term, page = request.GET.get("term", "").strip(), request.GET.get("page", "1")
    found = _found(term)
    names = Counter(name.strip() for _equipment_id, name in found)
    start = PER_PAGE * (max(int(page), 1) - 1 if page.isdecimal() else 0)
    return JsonResponse(
        {
            "results": [
                {"id": equipment_id, "text": _text(equipment_id, name, is_unique=names[name.strip()] == 1)}
                for equipment_id, name in found[start : start + PER_PAGE]
            ],
            "pagination": {"more": len(found) > start + PER_PAGE},
        }
    )


def _found(term: str) -> list[tuple[str, str]]:
    words = normalise_text(term).split()
    found = [
        (equipment_id, name)
        for equipment_id, name in Anomaly.objects.equipment(most=MOST)
        if all(word in normalise_text(f"{name} {equipment_id}") for word in words)
    ]
    if term and term not in dict(found) and Anomaly.objects.filter(equipment_id=term).exists():
        found.append((term, _name(term)))
    return sorted(found, key=lambda one: (normalise_text(one[1]) or "~", one[0]))


def _named(equipment_id: str) -> str:
    return _text(equipment_id, _name(equipment_id), is_unique=True)


def _name(equipment_id: str) -> str:
    names = Anomaly.objects.filter(equipment_id=equipment_id).values_list("equipment_name", flat=True)
    return names.order_by().first() or ""


def _text(equipment_id: str, name: str, *, is_unique: bool) -> str:
    """The name; with the id where others have that name, or the id alone."""
    if not name.strip():
        return equipment_id
    return name.strip() if is_unique else f"{name.strip()} · {equipment_id}"
