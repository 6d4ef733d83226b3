"""Who is told what happened, and the outbox."""

import django.db.models.deletion
import django.utils.timezone
import training.models.notices
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0006_reviews'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='MailSubscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('events', models.JSONField(default=list, verbose_name='events')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='created at')),
                ('language', models.CharField(choices=[('en', 'English'), ('fr', 'Français')], max_length=2, verbose_name='language')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by')),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='mail_subscription', to=settings.AUTH_USER_MODEL, verbose_name='person')),
            ],
            options={
                'verbose_name': 'e-mail notice',
                'verbose_name_plural': 'e-mail notices',
                'ordering': ['user__username'],
            },
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('events', models.JSONField(default=list, verbose_name='events')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='created at')),
                ('name', models.CharField(max_length=100, unique=True, verbose_name='name')),
                ('url', models.CharField(help_text='https://…, and inside the plant only where WEBHOOK_ALLOWED_NETWORKS allows it.', max_length=500, verbose_name='address')),
                ('secret', models.CharField(default=training.models.notices.new_secret, editable=False, max_length=100, verbose_name='secret')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by')),
            ],
            options={
                'verbose_name': 'webhook',
                'verbose_name_plural': 'webhooks',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.UUIDField(default=uuid.uuid4, verbose_name='message ID')),
                ('event', models.CharField(choices=[('session.succeeded', 'training finished'), ('session.failed', 'training failed'), ('version.activated', 'version activated'), ('backup.restored', 'backup restored'), ('drift.alert', 'drift alert'), ('test', 'test')], max_length=20, verbose_name='event')),
                ('payload', models.JSONField(verbose_name='content')),
                ('channel', models.CharField(choices=[('webhook', 'webhook'), ('mail', 'e-mail')], max_length=10, verbose_name='channel')),
                ('destination', models.CharField(max_length=150, verbose_name='destination')),
                ('status', models.CharField(choices=[('pending', 'to be sent'), ('delivered', 'delivered'), ('failed', 'given up'), ('dropped', 'not sent')], default='pending', max_length=10, verbose_name='status')),
                ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                ('response_code', models.PositiveSmallIntegerField(null=True, verbose_name='answer')),
                ('error', models.TextField(blank=True, verbose_name='error')),
                ('seconds', models.FloatField(null=True, verbose_name='seconds')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at')),
                ('next_attempt_at', models.DateTimeField(default=django.utils.timezone.now, null=True, verbose_name='next attempt')),
                ('finished_at', models.DateTimeField(null=True, verbose_name='finished at')),
                ('subscription', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='training.mailsubscription', verbose_name='e-mail notice')),
                ('webhook', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='training.webhook', verbose_name='webhook')),
            ],
            options={
                'verbose_name': 'delivery',
                'verbose_name_plural': 'deliveries',
                'ordering': ['-id'],
            },
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('url__startswith', 'https://'), ('url__startswith', 'http://'), _connector='OR'), name='webhook_url_is_http'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('secret__startswith', 'whsec_')), name='webhook_has_secret'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['next_attempt_at'], name='delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['finished_at'], name='delivery_finished'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('next_attempt_at__isnull', False), ('status', 'pending')), models.Q(('finished_at__isnull', False), ('next_attempt_at__isnull', True), ('status__in', ['delivered', 'failed', 'dropped'])), _connector='OR'), name='delivery_ended_or_due'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('channel', 'webhook'), ('subscription__isnull', True)), models.Q(('channel', 'mail'), ('webhook__isnull', True)), _connector='OR'), name='delivery_has_one_channel'),
        ),
    ]
