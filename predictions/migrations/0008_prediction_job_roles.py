"""Who may have files scored: whoever does something with anomalies. Viewers see the jobs."""

from django.db import migrations

from training import roles

SEE = {"predictions.view_predictionjob"}
ADD = SEE | {"predictions.add_predictionjob"}
ROLES = {"viewer": SEE, "reviewer": ADD, "trainer": ADD, "administrator": ADD}


def give(apps, schema_editor):
    roles.give(ROLES, apps=apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0007_prediction_jobs"),
        ("training", "0012_anomaly_status_detected"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
