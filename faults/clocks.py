"""A queue node whose wall clock can be moved: `clock.c`, compiled and preloaded there alone."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.health_issues import Code, Fault
from faults.product import Product

AHEAD = 3_600  # seconds
SOURCE = Path(__file__).parent / "clock.c"


@contextmanager
def clock_of_a_node(product: Product) -> Iterator[Fault | None]:
    """One more queue node for the block; the fault is its clock, an hour ahead, and then right again.

    None where there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        yield None
        return
    library, offset = product.scratch / "clock.so", product.scratch / "clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)

    def move(seconds: int) -> None:
        with offset.open("r+b" if offset.exists() else "wb") as file:  # the processes have it mapped
            file.write(struct.pack("i", seconds))

    move(0)
    preloaded = {"LD_PRELOAD": str(library), "CLOCK_AHEAD_FILE": str(offset)}
    queue = product.start_queue(grace=2, works=True, **preloaded)
    yield Fault(
        name="a node's clock an hour ahead",
        code=Code.CLOCK_OFF,
        word="clock",
        begin=lambda: move(AHEAD),
        end=lambda: move(0),
        environment=preloaded,
    )
    product.stop_queue(queue)
