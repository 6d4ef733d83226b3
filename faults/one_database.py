"""`python -m faults.one_database SCRATCH FIGURE…`: the faults on the database of the environment."""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import django

django.setup()

from django.core.management import call_command
from django.db import connection
from requests import RequestException

from faults import disk, queues, restores, sessions, tampering, web
from faults.invariants import Ledger, stored
from faults.product import Product
from faults.table import Effort, Table
from tests.queue_processes import running

SCENARIOS = {
    1: sessions.killed_at_each_step,
    2: queues.idle_deaths,
    3: sessions.always_dying,
    4: queues.three_queues,
    5: sessions.stopped,
    6: web.activations,
    7: tampering.tampered,
    8: restores.killed_at_each_step,
    9: disk.failing,
}
TAIL = 3_000  # characters of a log that are shown after a loss


def main(scratch: Path, figures: list[int]) -> int:
    product = Product(scratch)
    table = Table(connection.vendor)
    is_short, most, turn, databases = json.loads(os.environ["FAULTS"])
    effort = Effort(is_short=is_short, most=most, turn=turn, databases=databases)
    try:
        ledger = prepare(product)
        for figure in figures:
            SCENARIOS[figure](product, ledger, table, effort=effort)
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


def prepare(product: Product) -> Ledger:
    """Web and queue run, and a first version serves."""
    call_command("migrate", verbosity=0)
    product.start_web()
    product.start_queue()
    answer = product.train(product.base())
    assert answer.status_code == 200, answer.text
    assert product.post("/train/reload").status_code == 200
    product.wait_for_model()
    return Ledger(product, stored())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [int(figure) for figure in sys.argv[2:]]))
