"""What somebody did that changes no row of its own: kept in Django's log of admin actions, by every door."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db.models import Model


def note_act(*, user: User | None, row: Model, act: str) -> None:
    """`act` is said like the admin's own button. Without a user there is nobody to name."""
    if user is not None:
        LogEntry.objects.log_actions(
            user_id=user.pk, queryset=[row], action_flag=CHANGE, change_message=act, single_object=True
        )
