"""Everybody with a role sees what the watch found, and the queue's nodes."""

from django.db import migrations

from training import roles

SEE = {"training.view_finding", "training.view_queuenode"}
ROLES = dict.fromkeys(("viewer", "reviewer", "trainer", "administrator"), SEE)


def give(apps, schema_editor):
    roles.give(ROLES, apps=apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("training", "0017_watch")]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
