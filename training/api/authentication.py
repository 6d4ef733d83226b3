"""Who sends a token; wrong ones are noticed."""

import logging
from typing import Any

from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from training.api.addresses import client_address
from training.api.rates import attempt_to_wait

logger = logging.getLogger(__name__)


class WatchedTokenAuthentication(TokenAuthentication):
    """Wrong tokens are logged, never their text, and count as bad logins of their client.

    A right token passes all the same: who shares an address with a guesser is not locked out.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        try:
            return super().authenticate(request)
        except AuthenticationFailed as error:
            logger.warning("A token was refused, from %s: %s", client_address(request), error)
            if (wait := attempt_to_wait(request)) is not None:
                raise Throttled(wait) from error
            raise
