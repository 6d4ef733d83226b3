from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = _("Training")

    def ready(self) -> None:
        # With DEBUG each connection keeps its last statements: those of a long import would fill the memory.
        BaseDatabaseWrapper.queries_limit = 1_000

        from training import checks  # noqa: F401, PLC0415  # registers the system checks; needs the models
