"""What waits with other scores than before: a note for whoever reckons with them."""

from django.db import connections, models
from django.db.models import Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from training.models.anomaly import Anomaly, AnomalyQuerySet


class ScoreChangeQuerySet(models.QuerySet["ScoreChange"]):
    def note(self, anomalies: AnomalyQuerySet) -> None:
        """Those of these anomalies that are pending have changed; one query."""
        connection = connections[self.db]
        meta = self.model._meta  # noqa: SLF001  # Django documents _meta
        now = Value(timezone.now(), output_field=meta.get_field("changed_at"))
        rows = anomalies.pending().order_by("pk").values_list("pk", now)
        selected, parameters = rows.query.get_compiler(self.db).as_sql()
        table = connection.ops.quote_name(meta.db_table)
        with connection.cursor() as cursor:  # the table's name is all that is put in
            cursor.execute(
                f"INSERT INTO {table} (anomaly_id, changed_at) {selected}"
                " ON CONFLICT (anomaly_id) DO UPDATE SET changed_at = EXCLUDED.changed_at",
                parameters,
            )


class ScoreChange(models.Model):
    """A pending anomaly whose report or scores were changed; gone once they are reckoned with."""

    anomaly = models.OneToOneField(
        Anomaly, verbose_name=_("anomaly"), primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    changed_at = models.DateTimeField(_("changed at"))

    objects = ScoreChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("score change")
        verbose_name_plural = _("score changes")

    def __str__(self) -> str:
        return str(self.anomaly)
