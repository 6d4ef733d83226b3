"""Who sends a token; wrong ones are noticed. While the database is away, who was known a short while ago."""

import logging
from typing import Any

from django.conf import settings
from django.db import Error
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from training import outages
from training.api import known_callers
from training.api.addresses import client_address
from training.api.known_callers import KnownCaller
from training.api.rates import attempt_to_wait
from training.outages import DatabaseUnavailableError

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

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        try:
            user, token = super().authenticate_credentials(key)
        except AuthenticationFailed:
            known_callers.forget(_of_token(key))
            raise
        known_callers.remember(_of_token(key), user)
        return user, token


class LastKnownTokenAuthentication(WatchedTokenAuthentication):
    """Tokens, also while the database is away: for views that read and write nothing.

    A caller who is not known then is refused with 503, not as a stranger: nobody can tell.
    """

    def authenticate_credentials(self, key: str) -> tuple[Any, Any] | None:  # type: ignore[override]
        try:
            outages.require_database()
            return super().authenticate_credentials(key)
        except (Error, DatabaseUnavailableError) as error:
            return _last_known(_of_token(key), error)


class LastKnownSessionAuthentication(SessionAuthentication):
    """The same for the session of a browser, whose requests are checked against forgery as ever."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        credential = f"session {cookie}" if cookie else None
        try:
            if credential:
                outages.require_database()
            found = super().authenticate(request)
        except (Error, DatabaseUnavailableError) as error:
            if (known := _last_known(credential, error)) is not None:
                self.enforce_csrf(request)
            return known
        if credential:
            _note(credential, found)
        return found


def _of_token(key: str) -> str:
    return f"token {key}"


def _note(credential: str, found: tuple[Any, Any] | None) -> None:
    if found is None:
        known_callers.forget(credential)
    else:
        known_callers.remember(credential, found[0])


def _last_known(credential: str | None, error: Exception) -> tuple[KnownCaller, None] | None:
    """The caller of a short while ago; None for nobody, where that is enough. Raises the error otherwise."""
    if outages.report(error) is None:
        raise error
    if credential is not None and (caller := known_callers.recall(credential)) is not None:
        return caller, None
    if credential is None or settings.ANONYMOUS_READ:
        return None
    raise error
