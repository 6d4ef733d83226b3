"""An anomaly: one report about one piece of equipment, and the scores that experts gave it."""

import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q, Value
from django.db.models.constants import OnConflict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from training.ml.records import SCORE_COLUMNS

MAX_DESCRIPTION = 2_000  # characters, the guide's
MAX_SCORE, MIN_SCORE = 5, 1

score_validators = [MinValueValidator(MIN_SCORE), MaxValueValidator(MAX_SCORE)]


class AnomalyQuerySet(models.QuerySet["Anomaly"]):
    def pending(self) -> "AnomalyQuerySet":
        return self.filter(status=Anomaly.Status.PENDING)

    def approved(self) -> "AnomalyQuerySet":
        return self.filter(status=Anomaly.Status.APPROVED)

    def sections(self) -> list[str]:
        """The owner sections of all anomalies, sorted: one look at the index for each of them.

        https://wiki.postgresql.org/wiki/Loose_indexscan
        """
        connection = connections[self.db]
        table = connection.ops.quote_name(self.model._meta.db_table)  # noqa: SLF001  # Django documents _meta
        with connection.cursor() as cursor:
            cursor.execute(  # the table's name is all that is put in
                f"WITH RECURSIVE found (section) AS (SELECT MIN(section) FROM {table} UNION ALL "  # noqa: S608
                f"SELECT (SELECT MIN(section) FROM {table} AS next WHERE next.section > found.section) "
                "FROM found WHERE found.section IS NOT NULL) "
                "SELECT section FROM found WHERE section IS NOT NULL"
            )
            return [section for (section,) in cursor.fetchall()]

    def equipment(self, *, most: int) -> list[tuple[str, str]]:
        """Id and a name of each piece of equipment, the first `most` by id: a look at the index for each."""
        connection = connections[self.db]
        table = connection.ops.quote_name(self.model._meta.db_table)  # noqa: SLF001  # Django documents _meta
        with connection.cursor() as cursor:
            cursor.execute(  # the table's name is all that is put in
                f"WITH RECURSIVE found (id) AS (SELECT MIN(equipment_id) FROM {table} UNION ALL "  # noqa: S608
                f"SELECT (SELECT MIN(equipment_id) FROM {table} AS next WHERE next.equipment_id > found.id) "
                "FROM found WHERE found.id IS NOT NULL) SELECT id, (SELECT equipment_name "
                f"FROM {table} AS one WHERE one.equipment_id = found.id LIMIT 1) "
                "FROM found WHERE id IS NOT NULL LIMIT %s",
                [most],
            )
            return [(equipment_id, name) for equipment_id, name in cursor.fetchall()]

    def upsert(self, anomalies: Sequence["Anomaly"], *, update: Sequence[str]) -> None:
        """Insert the rows; where an id is known, give that row the fields in `update`.

        What `bulk_create(update_conflicts=True)` does, cheaper; the instances are left as they are.
        """
        connection = connections[self.db]
        meta = self.model._meta  # noqa: SLF001  # Django documents _meta
        fields = [field for field in meta.concrete_fields if not (field.primary_key or field.generated)]
        values = [_prepared(field, anomalies, connection) for field in fields]
        columns = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
        changed = [field.attname for field in fields if field.name in update]
        known = connection.ops.on_conflict_suffix_sql(fields, OnConflict.UPDATE, changed, ["anomaly_id"])
        into = f"INSERT INTO {connection.ops.quote_name(meta.db_table)} ({columns})"
        with connection.cursor() as cursor:  # names, types and marks alone are put into the statements
            if connection.vendor == "postgresql":  # which reads a few arrays faster than thousands of marks
                arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
                cursor.execute(f"{into} SELECT * FROM UNNEST({arrays}) {known}", values)  # noqa: S608
                return
            rows, size = list(zip(*values, strict=True)), connection.ops.bulk_batch_size(fields, anomalies)
            marks = f"({', '.join(['%s'] * len(fields))})"
            for batch in (rows[start : start + size] for start in range(0, len(rows), size)):
                given = ", ".join([marks] * len(batch))
                cursor.execute(f"{into} VALUES {given} {known}", list(chain.from_iterable(batch)))

    def note_history(self, change: str, *, user: User | None, reason: str) -> None:
        """Copy the rows as they are into the history, oldest first: what `bulk_history_create` does, without
        fetching them. `change` is "+" or "~".
        """
        history = Anomaly.history.model
        meta = history._meta  # noqa: SLF001  # Django documents _meta
        tracked = [field.attname for field in history.tracked_fields]
        noted = {
            "history_type": change,
            "history_date": timezone.now(),
            "history_user_id": user and user.pk,
            "history_change_reason": reason,
        }
        values = [Value(value, output_field=meta.get_field(name)) for name, value in noted.items()]
        rows = self.order_by("pk").values_list(*tracked, *values)
        selected, parameters = rows.query.get_compiler(self.db).as_sql()
        connection = connections[self.db]
        columns = ", ".join(map(connection.ops.quote_name, (*tracked, *noted)))
        table = connection.ops.quote_name(meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({columns}) {selected}", parameters)


def _prepared(
    field: "models.Field[Any, Any]", anomalies: Sequence["Anomaly"], connection: BaseDatabaseWrapper
) -> list[Any]:
    """The field's values as the database takes them, each distinct one prepared once."""
    if isinstance(field, models.DateTimeField) and (field.auto_now or field.auto_now_add):
        return [field.get_db_prep_save(timezone.now(), connection)] * len(anomalies)
    values = [getattr(anomaly, field.attname) for anomaly in anomalies]
    prepared = {value: field.get_db_prep_save(value, connection) for value in set(values)}
    return [prepared[value] for value in values]


class Anomaly(models.Model):
    """Scores here are the reviewed ones only: a model's suggestion is a Prediction row."""

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        APPROVED = "approved", _("approved")
        REJECTED = "rejected", _("rejected")

    class Source(models.TextChoices):
        API = "api", _("REST API")
        IMPORT = "import", _("file import")
        ADMIN = "admin", _("entered by hand")
        SAMPLE = "sample", _("sample")
        RESTORE = "restore", _("restored from a backup")

    anomaly_id = models.CharField(
        _("anomaly ID"), max_length=255, unique=True, help_text=_("The reporting system's own identifier.")
    )
    description = models.TextField(_("description"), validators=[MaxLengthValidator(MAX_DESCRIPTION)])
    equipment_id = models.CharField(_("equipment ID"), max_length=255)
    equipment_name = models.CharField(_("equipment name"), max_length=500, blank=True)
    system = models.CharField(_("system"), max_length=255, blank=True)
    section = models.CharField(_("owner section"), max_length=255, blank=True)
    detected_at = models.DateTimeField(_("detected at"), null=True, blank=True)

    availability_score = models.FloatField(
        _("availability"), null=True, blank=True, validators=score_validators
    )
    fiability_score = models.FloatField(_("fiability"), null=True, blank=True, validators=score_validators)
    process_safety_score = models.FloatField(
        _("process safety"), null=True, blank=True, validators=score_validators
    )
    criticality = models.GeneratedField(
        verbose_name=_("criticality"),
        expression=F("availability_score") + F("fiability_score") + F("process_safety_score"),
        output_field=models.FloatField(null=True),
        db_persist=True,
    )

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.PENDING)
    source = models.CharField(_("source"), max_length=10, choices=Source, default=Source.ADMIN)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("reviewed by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="reviewed_anomalies",
    )
    # When the scores or the approval last changed: what is newer than a version's data is "newly approved".
    reviewed_at = models.DateTimeField(_("reviewed at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    history = HistoricalRecords(
        excluded_fields=["criticality", "updated_at"],
        history_change_reason_field=models.TextField(null=True),
    )

    objects = AnomalyQuerySet.as_manager()

    class Meta:
        verbose_name = _("anomaly")
        verbose_name_plural = _("anomalies")
        ordering = ["-id"]
        permissions = [
            ("review_anomaly", _("Can approve, reject and correct anomalies")),
            ("adjudicate_anomaly", _("Can settle what two reviewers disagree on")),
        ]
        indexes = [
            models.Index(fields=["status", "-criticality"], name="anomaly_status_criticality"),
            models.Index(fields=["status", "reviewed_at"], name="anomaly_status_reviewed"),
            # Counted by week and band without reading the rows.
            models.Index(fields=["status", "detected_at", "criticality"], name="anomaly_status_detected"),
            models.Index(fields=["equipment_id", "detected_at"], name="anomaly_equipment_detected"),
            models.Index(fields=["detected_at"], name="anomaly_detected"),
            # What lists are filtered and ordered by: counted and cut to a page without reading the rows.
            models.Index(fields=["status", "-id"], name="anomaly_status_newest"),
            models.Index(fields=["source", "-id"], name="anomaly_source_newest"),
            models.Index(fields=["section", "-id"], name="anomaly_section_newest"),
            models.Index(fields=["system", "-id"], name="anomaly_system_newest"),
            models.Index(fields=["criticality", "-id"], name="anomaly_criticality_newest"),
            models.Index(fields=["equipment_name", "-id"], name="anomaly_equipment_name_newest"),
            models.Index(fields=["created_at"], name="anomaly_created"),
            models.Index(fields=["reviewed_at"], name="anomaly_reviewed"),
            *(models.Index(fields=[column, "-id"], name=f"anomaly_{column}") for column in SCORE_COLUMNS),
        ]
        constraints = [
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{column}__gte": MIN_SCORE, f"{column}__lte": MAX_SCORE})
                    | Q(**{f"{column}__isnull": True}),
                    name=f"anomaly_{column}_1_to_5",
                )
                for column in SCORE_COLUMNS
            ),
            models.CheckConstraint(
                condition=~Q(status="approved")
                | Q(**{f"{column}__isnull": False for column in SCORE_COLUMNS}),
                name="anomaly_approved_has_scores",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "approved", "rejected"]), name="anomaly_status_known"
            ),
            models.CheckConstraint(condition=~Q(anomaly_id=""), name="anomaly_id_not_empty"),
            models.CheckConstraint(condition=~Q(description=""), name="anomaly_description_not_empty"),
        ]

    def __str__(self) -> str:
        return self.anomaly_id

    @property
    def scores(self) -> dict[str, float | None]:
        """The reviewed scores by column name."""
        return {column: getattr(self, column) for column in SCORE_COLUMNS}

    @property
    def is_scored(self) -> bool:
        return None not in self.scores.values()

    def needs_two(self, percent: int) -> bool:
        """Whether it belongs to this share, which two people review: by its id, so for ever the same ones."""
        return zlib.crc32(self.anomaly_id.encode()) % 100 < percent
