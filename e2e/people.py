"""What the run needs in the database beside the sample; called in the product's own shell."""

from collections.abc import Mapping

from django.contrib.auth.models import Permission, User

from training.models import Anomaly


def add_people(people: Mapping[str, str], password: str) -> None:
    """Staff by name, with these permissions."""
    for name, permissions in people.items():
        person = User.objects.create_user(name, password=password, is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions.split()))


def report_again(count: int) -> None:
    """The newest of the sample are reported once more, and wait for review."""
    for known in Anomaly.objects.approved().exclude(section="").order_by("-pk")[:count]:
        Anomaly.objects.create(
            anomaly_id=f"NIGHT-{known.pk}",
            description=known.description,
            equipment_id=known.equipment_id,
            equipment_name=known.equipment_name,
            system=known.system,
            section=known.section,
            detected_at=known.detected_at,
            source=Anomaly.Source.API,
        )
