"""The memory that a long answer took is given back once it is sent."""

from types import SimpleNamespace

import pytest

from anomalyproject import gunicorn


@pytest.mark.parametrize(("sent", "times"), [(0, 0), (gunicorn.LONG, 0), (gunicorn.LONG + 1, 1)])
def test_after_a_long_answer_memory_goes_back(sent: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Timer:
        def __init__(self, _seconds: float, action: object) -> None:
            self.action = action

        def start(self) -> None:
            started.append(self.action)

    monkeypatch.setattr("threading.Timer", Timer)
    gunicorn.post_request(None, None, None, SimpleNamespace(sent=sent))
    assert started == [gunicorn._give_memory_back] * times


def test_giving_back_changes_nothing_else() -> None:
    gunicorn._give_memory_back()
