"""Retire a signing key: everything that older keys signed is signed with the newest one."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from training import artifacts
from training.errors import BackupError, UnservableVersionError
from training.models import Backup, ModelVersion


class Command(BaseCommand):
    help = (
        "Sign every model version and backup whose files are kept with the first of ARTIFACT_SIGNING_KEYS. "
        "Each is verified first, with the key that signed it; what does not verify is quarantined and "
        "not signed. It may be interrupted and run again; what serves goes on serving. Exit status 1 when "
        "something could not be signed: then the older keys are still needed, or that is lost."
    )

    def handle(self, **_options: Any) -> None:
        kept = [row for model in (ModelVersion, Backup) for row in model.objects.filter(pruned_at=None)]
        failed = [stored for stored in kept if not self._sign(stored)]
        if failed:
            raise CommandError(f"{len(failed)} of {len(kept)} could not be signed: keep the older keys.")
        older = len(settings.ARTIFACT_SIGNING_KEYS) - 1
        end = f" The {older} older can be removed from ARTIFACT_SIGNING_KEYS." if older else ""
        self.stdout.write(f"All {len(kept)} are signed with the newest key.{end}")

    def _sign(self, stored: artifacts.Stored) -> bool:
        try:
            is_new = artifacts.resign(stored)
        except (UnservableVersionError, BackupError) as error:
            self.stdout.write(f"{stored.path}: {error}")
        except OSError as error:
            self.stdout.write(f"{stored.path}: the disk refuses: {error.strerror}")
        else:
            self.stdout.write(f"{stored.path}: {'signed' if is_new else 'signed before'}")
            return True
        return False
