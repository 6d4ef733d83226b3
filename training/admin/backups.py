"""Backups: back up now, verify, restore, and take old ones away."""

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from training import backups, restoring
from training.admin import labels
from training.admin.base import (
    Confirmation,
    ReadOnlyAdmin,
    Table,
    confirmed,
    existing,
    person,
    refusals_as_messages,
)
from training.admin.state_filters import BackupStateFilter
from training.admin.versions import switch_in_words
from training.models import Backup
from training.policy import current_policy
from training.restoring import EXAMPLES, RecordChange, RestorePreview, Scores
from training.retention import Reason

LIST = "admin:training_backup_changelist"
CHANGE_WORDS: dict[RecordChange.Kind, Promise] = {
    RecordChange.Kind.TO_PENDING: gettext_lazy("back to the review queue"),
    RecordChange.Kind.REAPPROVED: gettext_lazy("approved again"),
    RecordChange.Kind.RECREATED: gettext_lazy("created again"),
    RecordChange.Kind.SCORES: gettext_lazy("earlier scores"),
    RecordChange.Kind.TEXTS: gettext_lazy("earlier text or equipment"),
}

REASON_WORDS: dict[Reason, Promise] = {
    Reason.BY_HAND: gettext_lazy("made by hand: it stays until somebody removes it"),
    Reason.IN_USE: gettext_lazy("the newest that holds the active version"),
    Reason.NEWEST: gettext_lazy("the newest"),
    Reason.RECENT: gettext_lazy("one of the newest that differ from the one before"),
    Reason.DAY: gettext_lazy("the newest of its day"),
    Reason.WEEK: gettext_lazy("the newest of its week"),
}


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    list_display = ("name_and_kind", "state", "created_at", "records", "model_version", "size")
    list_select_related = ("model_version",)
    list_filter = (("kind", ChoicesCheckboxFilter), BackupStateFilter, ("created_at", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("name",)
    actions = ("verify_selected",)
    actions_list = ("back_up_now", "prune")
    actions_detail = ("restore", "verify", "remove")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("state", "kind"),
                    ("created_at", "created_by"),
                    ("record_count", "model_version"),
                    ("size", "place"),
                    ("verified_at", "pruned_at"),
                    "verification_error",
                    "digest",
                )
            },
        ),
    )

    @display(description=gettext_lazy("backup"), ordering="name", header=True)
    def name_and_kind(self, backup: Backup) -> list[str]:
        return [backup.name, backup.get_kind_display()]

    @display(description=gettext_lazy("records"), ordering="record_count")
    def records(self, backup: Backup) -> str:
        return number_format(backup.record_count, force_grouping=True)

    @display(description=gettext_lazy("state"))
    def state(self, backup: Backup) -> SafeString:
        if backup.pruned_at is not None:
            return labels.badge(_("files removed"), "default")
        if backup.verification_error:
            return labels.badge(_("damaged"), "danger")
        if backup.verified_at is None:
            return labels.badge(_("not verified"), "warning")
        return labels.badge(_("verified %(age)s") % {"age": labels.age(backup.verified_at)}, "success")

    @display(description=gettext_lazy("size"), ordering="size_bytes")
    def size(self, backup: Backup) -> str:
        return filesizeformat(backup.size_bytes)

    @display(description=gettext_lazy("path"))
    def place(self, backup: Backup) -> str:
        return backup.path

    # --- Back up -------------------------------------------------------------------------------

    def has_backup_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.add_backup")

    @action(
        description=gettext_lazy("Back up now"),
        permissions=["backup"],
        icon="save",
        variant=ActionVariant.PRIMARY,
    )
    def back_up_now(self, request: HttpRequest) -> HttpResponse:
        def ask() -> Confirmation:
            return Confirmation(
                title=_("Back up now?"),
                changes=[_("The active model and all approved records are kept together, and read back.")],
                button=_("Back up now"),
            )

        def act() -> str:
            backup = backups.create_backup(kind=Backup.Kind.MANUAL, user=person(request))
            return _("%(backup)s is made: %(count)d records, %(size)s.") % {
                "backup": backup,
                "count": backup.record_count,
                "size": filesizeformat(backup.size_bytes),
            }

        return confirmed(request, admin=self, ask=ask, act=act, then=reverse(LIST))

    # --- Verify --------------------------------------------------------------------------------

    @admin.action(description=gettext_lazy("Verify the selected backups"), permissions=["backup"])
    def verify_selected(self, request: HttpRequest, queryset: "QuerySet[Backup]") -> None:
        for backup in queryset:
            with refusals_as_messages(request):
                messages.success(request, self._verify(request, backup))

    @action(description=gettext_lazy("Verify"), permissions=["backup"], icon="verified")
    def verify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        backup = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Verify %(backup)s?") % {"backup": backup},
                changes=[_("Every file and every record is read back, and the models predict once.")],
                button=_("Verify"),
            )

        return confirmed(
            request, admin=self, ask=ask, act=lambda: self._verify(request, backup), then=_page_of(backup)
        )

    def _verify(self, request: HttpRequest, backup: Backup) -> str:
        backups.verify_backup(backup=backup)
        self.log_change(request, backup, _("Verify"))
        return _("%(backup)s is sound.") % {"backup": backup}

    # --- Restore -------------------------------------------------------------------------------

    def has_restore_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.restore_backup")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        """What is damaged can be verified again, and restored once it is sound."""
        backup = self.get_object(request, str(object_id))
        if backup is None or backup.pruned_at:
            return []
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        if backup.is_usable:
            return allowed
        return [entry for entry in allowed if entry.method.original_function_name != "restore"]

    @action(
        description=gettext_lazy("Restore"),
        permissions=["restore"],
        icon="settings_backup_restore",
        variant=ActionVariant.DANGER,
    )
    def restore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        backup = existing(self, request, object_id)

        def act() -> str:
            result = restoring.restore_backup(backup=backup, user=person(request))
            return _("Restored from %(backup)s. The present was kept as %(safety)s.") % {
                "backup": backup,
                "safety": result.safety_backup,
            }

        return confirmed(
            request, admin=self, ask=lambda: _before_restore(backup), act=act, then=_page_of(backup)
        )

    # --- Retention -----------------------------------------------------------------------------

    def has_prune_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.delete_backup")

    @action(
        description=gettext_lazy("Remove old backups"),
        permissions=["prune"],
        icon="auto_delete",
        url_path="prune",
    )
    def prune(self, request: HttpRequest) -> HttpResponse:
        def act() -> str:
            names = backups.prune_backups()
            for backup in Backup.objects.filter(name__in=names):
                self.log_change(request, backup, _("Remove"))
            count = len(names)
            removed = ngettext(
                "The files of %(count)d backup are removed.",
                "The files of %(count)d backups are removed.",
                count,
            )
            return removed % {"count": count}

        return confirmed(request, admin=self, ask=_before_pruning, act=act, then=reverse(LIST))

    @action(
        description=gettext_lazy("Remove"), permissions=["prune"], icon="delete", variant=ActionVariant.DANGER
    )
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        backup = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Remove %(backup)s?") % {"backup": backup},
                changes=[_removal(backup)],
                way_back=_("There is no way back for this one; the other backups stay."),
                button=_("Remove"),
                is_possible=backup.pruned_at is None,
                is_destructive=True,
            )

        def act() -> str:
            backups.remove_backup(backup=backup)
            self.log_change(request, backup, _("Remove"))
            return _("The files of %(backup)s are removed.") % {"backup": backup}

        return confirmed(request, admin=self, ask=ask, act=act, then=_page_of(backup))


def _page_of(backup: Backup) -> str:
    return reverse("admin:training_backup_change", args=[backup.pk])


def _before_restore(backup: Backup) -> Confirmation:
    preview = restoring.preview_restore(backup=backup)
    return Confirmation(
        title=_("Restore %(backup)s?") % {"backup": backup},
        changes=[
            switch_in_words(preview.version_from, preview.version_to),
            *(_record_changes(preview) or [_("The records stay as they are.")]),
        ],
        way_back=_(
            "A backup of the present is made first: restoring it is the way back. Nothing is deleted."
        ),
        button=_("Restore"),
        is_destructive=True,
        table=_examples(preview),
    )


def _record_changes(preview: RestorePreview) -> list[str]:
    """Tell each kind of change that there is, with the number of its records."""
    sentences = [
        (
            preview.records_to_pending,
            ngettext(
                "%(count)d record goes back to the review queue: the backup does not hold it.",
                "%(count)d records go back to the review queue: the backup does not hold them.",
                preview.records_to_pending,
            ),
        ),
        (
            preview.scores_changed,
            ngettext(
                "%(count)d record gets its earlier scores back.",
                "%(count)d records get their earlier scores back.",
                preview.scores_changed,
            ),
        ),
        (
            preview.texts_changed,
            ngettext(
                "%(count)d record gets its earlier text or equipment back.",
                "%(count)d records get their earlier text or equipment back.",
                preview.texts_changed,
            ),
        ),
        (
            preview.records_reapproved,
            ngettext(
                "%(count)d record is approved again.",
                "%(count)d records are approved again.",
                preview.records_reapproved,
            ),
        ),
        (
            preview.records_recreated,
            ngettext(
                "%(count)d record that is gone is created again.",
                "%(count)d records that are gone are created again.",
                preview.records_recreated,
            ),
        ),
    ]
    return [words % {"count": count} for count, words in sentences if count]


def _examples(preview: RestorePreview) -> Table | None:
    if not preview.examples:
        return None
    count = len(preview.examples)
    if count < EXAMPLES:
        caption = ngettext("%(count)d record that changes", "%(count)d records that change", count)
    else:
        caption = _("The first %(count)d records that change")
    return Table(
        caption=caption % {"count": count},
        columns=[_("report"), _("what happens"), _("scores now → after (A · F · S)")],
        rows=[
            [
                format_html(
                    "{}<br><small>{}</small>", Truncator(change.description).chars(80), change.anomaly_id
                ),
                CHANGE_WORDS[change.kind],
                f"{_scores_in_words(change.old)} → {_scores_in_words(change.new or change.old)}",
            ]
            for change in preview.examples
        ],
    )


def _scores_in_words(scores: Scores | None) -> str:
    return " · ".join(labels.number(score) for score in scores) if scores else "–"


def _removal(backup: Backup) -> str:
    return _("The files of %(backup)s (%(kind)s, %(size)s) are removed.") % {
        "backup": backup,
        "kind": backup.get_kind_display(),
        "size": filesizeformat(backup.size_bytes),
    }


def _before_pruning() -> Confirmation:
    retention = backups.retention_of_backups()
    prunable = [backup for backup, reason in retention.items() if reason is None]
    rule = _(
        "Kept are the newest %(count)d that differ from the one before, the newest of each of the last "
        "%(days)d days and %(weeks)d weeks, the newest that holds the active version, and what was made by "
        "hand. The page of the training schedule, or the settings KEEP_BACKUPS, KEEP_DAILY_BACKUPS and "
        "KEEP_WEEKLY_BACKUPS, say how many."
    )
    numbers = {
        "count": current_policy().backups_kept,
        "days": settings.KEEP_DAILY_BACKUPS,
        "weeks": settings.KEEP_WEEKLY_BACKUPS,
    }
    removed = [_removal(backup) for backup in prunable]
    return Confirmation(
        title=_("Remove old backups?"),
        changes=[rule % numbers, *(removed or [_("Nothing to remove: all that there are are kept.")])],
        way_back=_("There is no way back for these; the other backups stay.") if prunable else "",
        button=_("Remove"),
        is_possible=bool(prunable),
        is_destructive=True,
        table=_kept(retention),
    )


def _kept(retention: dict[Backup, Reason | None]) -> Table | None:
    rows: list[list[str | Promise]] = [
        [backup.name, backup.get_kind_display(), REASON_WORDS[reason]]
        for backup, reason in retention.items()
        if reason is not None
    ]
    if not rows:
        return None
    columns = [_("backup"), _("kind"), _("why it is kept")]
    return Table(caption=_("What is kept"), columns=columns, rows=rows)
