"""`python -m faults.one_database SCRATCH FIGURE…`: the faults on the installation of the environment."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import django

django.setup()

from django.core.management import call_command
from django.db import connection
from requests import RequestException

from faults import (
    disk,
    full_disks,
    installations,
    outages,
    queues,
    restores,
    sessions,
    tampering,
    uncompared,
    unwritable_databases,
    web,
)
from faults.configurations import CONFIGURATION, CONFIGURATIONS, Configuration
from faults.health_issues import wait_until_well
from faults.invariants import Ledger, stored
from faults.product import Product
from faults.production import Production, production
from faults.table import Effort, Table
from tests.queue_processes import running


def told(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 16: of what production stands on; or of disks, and of a database that takes nothing."""
    if isinstance(product, Production):
        outages.told(product, ledger, table, effort=effort)
        return
    if connection.vendor == "sqlite":
        full_disks.told(product, ledger, table, effort=effort)
    unwritable_databases.told(product, ledger, table, effort=effort)


SCENARIOS: dict[int, Callable[..., None]] = {
    1: sessions.killed_at_each_step,
    2: queues.idle_deaths,
    3: sessions.always_dying,
    4: queues.three_queues,
    5: sessions.stopped,
    6: web.activations,
    7: tampering.tampered,
    8: restores.killed_at_each_step,
    9: disk.failing,
    13: uncompared.never_activated,
    14: installations.never_mixed,
    15: outages.without_database,
    16: told,
}
TAIL = 3_000  # characters of a log that are shown after a loss


def main(scratch: Path, figures: list[int]) -> int:
    configuration = CONFIGURATIONS[os.environ[CONFIGURATION]]
    table = Table(configuration.name)
    with ExitStack() as stack:
        product = (
            stack.enter_context(production(scratch)) if configuration.is_production else Product(scratch)
        )
        try:
            ledger = prepare(product)
            for figure in figures:
                SCENARIOS[figure](product, ledger, table, effort=effort_for(figure, configuration))
                wait_until_well(product)
        except (AssertionError, RequestException) as loss:
            for log in sorted(scratch.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-TAIL:]}")
            print("--- processes", *running(product.mark), sep="\n")
            traceback.print_exception(loss, file=sys.stdout)
            print(f"LOST on {table.database}: {loss}", flush=True)
            return 1
        finally:
            connection.close()
    seconds = time.monotonic() - table.started
    print(f"All survived on {table.database}, in {seconds:.0f} s.", flush=True)
    return 0


def effort_for(figure: int, configuration: Configuration) -> Effort:
    """Whoever is put through a figure in this run shares its places."""
    is_short, most, names = json.loads(os.environ["FAULTS"])
    chosen = [CONFIGURATIONS[name] for name in names]
    sharing = [each for each in chosen if figure in each.short] if is_short else [configuration]
    if configuration not in sharing:  # it was asked for by its number
        sharing = [configuration]
    return Effort(is_short=is_short, most=most, turn=sharing.index(configuration), databases=len(sharing))


def prepare(product: Product) -> Ledger:
    """Web and queue run, and a first version serves."""
    call_command("migrate", verbosity=0)
    product.admit_clients()
    product.start_web()
    product.start_queue()
    answer = product.train(product.base())
    assert answer.status_code == 200, answer.text
    assert product.post("/train/reload").status_code == 200
    product.wait_for_model()
    return Ledger(product, stored())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [int(figure) for figure in sys.argv[2:]]))
