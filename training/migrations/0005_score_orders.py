"""What `/api/v1/anomalies/` can be ordered by is read in that order from an index, whichever the direction.

SQLite reads an index backwards and puts empty values last by itself. PostgreSQL needs an index that has them
last where the highest come first; Django's models cannot say that of one database alone, and SQLite refuses it.
"""

from django.db import migrations, models
from django.db.models import F

SCORES = ("availability_score", "fiability_score", "process_safety_score")
HIGHEST_FIRST = [
    models.Index(F(column).desc(nulls_last=True), F("id").desc(), name=f"{column}_highest")
    for column in (*SCORES, "criticality", "detected_at", "reviewed_at")
]


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for index in HIGHEST_FIRST:
            schema_editor.add_index(apps.get_model("training", "Anomaly"), index)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for index in HIGHEST_FIRST:
            schema_editor.remove_index(apps.get_model("training", "Anomaly"), index)


class Migration(migrations.Migration):
    dependencies = [("training", "0004_list_indexes")]

    operations = [
        *(
            migrations.AddIndex(
                "anomaly", models.Index(fields=[column, "-id"], name=f"anomaly_{column}")
            )
            for column in SCORES
        ),
        migrations.RunPython(add, remove),
    ]
