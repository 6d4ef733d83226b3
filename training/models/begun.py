"""What a request begins, under the name that the request gave itself."""

from django.db import models
from django.db.models import Q

IN_VAIN = ("failed", "cancelled")  # the same request, sent again, begins anew


class BegunByRequest(models.Model):
    """A row with `requested_by` and `status` that a request begins, once however often it is sent.

    `request_key` is what its client calls the request (see `training.idempotency`), empty where it has no
    name; `request_digest` tells it from another one under the same name.
    """

    request_key = models.CharField(max_length=255, blank=True, editable=False)
    request_digest = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        abstract = True


def one_row_per_request(name: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        fields=["requested_by", "request_key"],
        condition=~Q(request_key="") & ~Q(status__in=IN_VAIN),
        name=name,
    )
