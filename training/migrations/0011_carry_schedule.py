"""A time that was set by hand, or a schedule that was switched off, moves from the queue's row to the policy."""

import ast

from django.db import migrations

TRAIN_ON_SCHEDULE = "training.tasks.train_on_schedule"


def carry(apps, schema_editor):
    schedules = apps.get_model("django_q", "Schedule").objects
    schedule = schedules.filter(func=TRAIN_ON_SCHEDULE).order_by("pk").first()
    if schedule is None or not schedule.kwargs:
        return
    try:
        configured = ast.literal_eval(schedule.kwargs)["q_options"]["configured"]
    except (ValueError, SyntaxError, KeyError, TypeError):
        return
    by_hand, enabled = schedule.cron != configured, schedule.repeats != 0
    if by_hand or not enabled:
        policy = apps.get_model("training", "TrainingPolicy")
        policy.objects.create(pk=1, cron=schedule.cron if by_hand else "", enabled=enabled)
    schedules.filter(pk=schedule.pk).update(kwargs=None)


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0010_training_control"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [migrations.RunPython(carry, migrations.RunPython.noop)]
