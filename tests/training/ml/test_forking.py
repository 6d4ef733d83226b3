import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from training.ml.forking import fork_map


def test_results_come_in_order_from_other_processes() -> None:
    unpicklable = [lambda n=n: n for n in range(5)]
    found = list(fork_map(lambda item: (item() * 2, os.getpid()), unpicklable, jobs=2))
    assert [double for double, _ in found] == [0, 2, 4, 6, 8]
    assert os.getpid() not in {process for _, process in found}


def test_a_single_job_stays_here() -> None:
    assert list(fork_map(lambda _: os.getpid(), [1, 2], jobs=1)) == [os.getpid()] * 2


def test_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        list(fork_map(lambda n: 1 // n, [1, 0], jobs=2))


def test_a_killed_fork_is_an_error() -> None:
    with pytest.raises(BrokenProcessPool):
        list(fork_map(lambda _: os.kill(os.getpid(), signal.SIGKILL), [1, 2], jobs=2))
