"""Which names the product answers to."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

PROBES = {"/livez", "/readyz", "/metrics"}


class HostMiddleware(CommonMiddleware):
    """Django's, which refuses a Host that is none of ALLOWED_HOSTS; not for probes.

    An orchestrator asks the pod, and a Prometheus the machine, by its address. Their answers name no host.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in PROBES else super().process_request(request)
