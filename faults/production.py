"""The product as a plant runs it, with everything that it stands on within reach of who harms it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.contrib.auth.models import Group, User
from rest_framework.authtoken.models import Token

from e2e.product import ROOT
from faults.product import Product
from faults.reverse_proxy import reverse_proxy
from tests.proxies import Proxy, proxy


class Production(Product):
    """Its processes reach database, storage and Redis through proxies that can be cut.

    Who harms it reaches them directly, and the product through its reverse proxy with a client's token.
    """

    database: Proxy
    storage: Proxy
    redis: Proxy

    def admit_clients(self) -> None:
        """One that does what the plant's clients do; the files of the pages."""
        self.headers = self.new_client("plant", "trainer", "reviewer")
        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)

    def new_client(self, name: str, *roles: str) -> dict[str, str]:
        """The header of a caller with those roles."""
        user, _ = User.objects.get_or_create(username=name)
        user.groups.set(Group.objects.filter(name__in=roles))
        return {"Authorization": f"Token {Token.objects.get_or_create(user=user)[0].key}"}


@contextmanager
def production(scratch: Path) -> Iterator[Production]:
    product = Production(scratch)
    with ExitStack() as stack:
        between = {
            name: stack.enter_context(_proxy_to(product.environment[name]))
            for name in ("DATABASE_URL", "AWS_ENDPOINT_URL", "REDIS_URL")
        }
        product.environment |= {
            name: _through(each, product.environment[name]) for name, each in between.items()
        }
        product.database, product.storage, product.redis = between.values()
        product.url = stack.enter_context(reverse_proxy(int(product.environment["PORT"])))
        yield product


@contextmanager
def _proxy_to(url: str) -> Iterator[Proxy]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with proxy(parts.hostname, parts.port) as between:
        yield between


def _through(between: Proxy, url: str) -> str:
    """The same address, by way of the proxy."""
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{between.port}"))
