"""The groups viewer, reviewer, trainer and administrator. A group of that name that exists stays as it is."""

from django.db import migrations

from training import roles

VIEWER = {
    "training.view_anomaly",
    "training.view_trainingsession",
    "training.view_modelversion",
    "training.view_activation",
    "training.view_backup",
    "training.view_qualityreport",
    "predictions.view_prediction",
    "django_q.view_schedule",
    "django_q.view_ormq",
    "django_q.view_success",
    "django_q.view_failure",
}
REVIEWER = VIEWER | {
    "training.add_anomaly",
    "training.review_anomaly",
}
TRAINER = VIEWER | {
    "training.adjudicate_anomaly",
    "training.train_models",
    "training.cancel_trainingsession",
    "training.activate_modelversion",
    "training.add_backup",
    "training.restore_backup",
    "django_q.change_schedule",
}
ADMINISTRATOR = (
    REVIEWER
    | TRAINER
    | {
        "training.delete_backup",
        *(f"auth.{verb}_{model}" for model in ("user", "group") for verb in ("view", "add", "change")),
        "auth.delete_group",
        *(f"authtoken.{verb}_tokenproxy" for verb in ("view", "add", "delete")),
        "axes.view_accessattempt",
        "axes.delete_accessattempt",
        *(
            f"training.{verb}_{model}"
            for model in ("webhook", "mailsubscription")
            for verb in ("view", "add", "change", "delete")
        ),
        "training.view_delivery",
        "training.change_delivery",
    }
)
ROLES = {
    "viewer": VIEWER,
    "reviewer": REVIEWER,
    "trainer": TRAINER,
    "administrator": ADMINISTRATOR,
}


def create_roles(apps, schema_editor):
    roles.create(ROLES, apps=apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0007_notices"),
        ("predictions", "0004_created_order"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("authtoken", "0004_alter_tokenproxy_options"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
