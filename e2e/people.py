"""What the run needs in the database beside the sample; called in the product's own shell."""

from collections.abc import Mapping

from django.contrib.auth.models import Permission, User

from training.models import Anomaly


def add_people(people: Mapping[str, str], password: str) -> None:
    """Staff by name, with these permissions."""
    for name, permissions in people.items():
        person = User.objects.create_user(name, password=password, is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions.split()))


def make_pending(count: int) -> None:
    """The newest of the sample wait for review again, as if nobody had scored them."""
    newest = Anomaly.objects.approved().order_by("-pk").values("pk")[:count]
    Anomaly.objects.filter(pk__in=list(newest.values_list("pk", flat=True))).update(
        status=Anomaly.Status.PENDING,
        availability_score=None,
        fiability_score=None,
        process_safety_score=None,
        reviewed_by=None,
        reviewed_at=None,
    )
