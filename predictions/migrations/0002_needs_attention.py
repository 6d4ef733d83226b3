from django.conf import settings
from django.db import migrations, models


def look_at_what_was_suggested(apps, schema_editor):
    """P(score ≥ 4) ≥ ¼ of one of the three, or P(score ≤ 2) where 1 is the most serious."""
    serious = slice(0, 2) if settings.SCORE_DIRECTION == "1_is_most_critical" else slice(3, 5)
    predictions = apps.get_model("predictions", "Prediction").objects
    found = [
        key
        for key, distributions in predictions.values_list("pk", "distributions").iterator()
        if any(sum(shares[serious]) >= 0.25 for shares in distributions.values())
    ]
    for start in range(0, len(found), 500):
        predictions.filter(pk__in=found[start : start + 500]).update(needs_attention=True)


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='prediction',
            name='needs_attention',
            field=models.BooleanField(default=False, verbose_name='needs attention'),
        ),
        migrations.RunPython(look_at_what_was_suggested, migrations.RunPython.noop),
    ]
