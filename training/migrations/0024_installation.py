from uuid import uuid4

import django.db.models.deletion
from django.db import migrations, models


def name_installation(apps, schema_editor):
    apps.get_model("training", "Installation").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("training", "0023_nodes")]

    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("identifier", models.UUIDField(default=uuid4, editable=False, verbose_name="identifier")),
            ],
            options={
                "verbose_name": "installation",
                "verbose_name_plural": "installations",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="one_installation")
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="backup",
            options={
                "ordering": [models.Case(models.When(kind="adopted", then=0), default=1).desc(), "-id"],
                "permissions": [("restore_backup", "Can restore a backup")],
                "verbose_name": "backup",
                "verbose_name_plural": "backups",
            },
        ),
        migrations.AddField(
            model_name="backup",
            name="content_digest",
            field=models.CharField(blank=True, max_length=64, verbose_name="digest of the content", default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="activation",
            name="newest_version",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="training.modelversion",
                verbose_name="newest version then",
            ),
        ),
        migrations.RunPython(name_installation, migrations.RunPython.noop),
    ]
