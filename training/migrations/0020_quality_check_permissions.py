"""Who may have the quality reports made: whoever does something with anomalies or models. Viewers see it."""

from django.db import migrations

from training import roles

SEE = {"training.view_qualitycheck"}
ADD = SEE | {"training.add_qualitycheck"}
ROLES = {"viewer": SEE, "reviewer": ADD, "trainer": ADD, "administrator": ADD}


def give(apps, schema_editor):
    roles.give(ROLES, apps=apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0019_quality_checks"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
