"""What `make nodes` concludes from the answers that its clients saw."""

import pytest

from nodes.judging import Activated, Answer, position_of, steps_back, switch_times

# Versions 7 and 8 take turns; 5 served before.
TURNS = [
    Activated(version=7, asked=10.0, done=10.2),
    Activated(version=8, asked=20.0, done=20.2),
    Activated(version=7, asked=30.0, done=30.2),
]


def answer(version: int, begun: float, ended: float, worker: int = 1) -> Answer:
    return Answer(worker=worker, begun=begun, ended=ended, version=version)


@pytest.mark.parametrize(
    ("given", "position"),
    [
        (answer(5, 9.0, 9.1), -1),
        (answer(7, 9.9, 10.1), 0),
        (answer(5, 12.0, 12.1), -1),
        (answer(7, 25.0, 25.1), 0),
        (answer(8, 25.0, 25.1), 1),
        (answer(7, 29.9, 30.1), 2),
    ],
)
def test_an_answer_shows_the_newest_activation_that_can_have_made_it(given: Answer, position: int) -> None:
    assert position_of(given, TURNS) == position


def test_a_worker_has_switched_once_no_request_gets_an_older_version() -> None:
    answers = [
        answer(5, 10.1, 10.9),  # begun before the activation was confirmed: not late
        answer(5, 11.0, 11.1),
        answer(7, 11.2, 11.3),
        answer(7, 20.7, 20.8),
        answer(7, 10.5, 10.6, worker=2),
    ]
    assert switch_times(answers, TURNS) == {
        1: [pytest.approx(0.8), pytest.approx(0.5), 0.0],
        2: [0.0, 0.0, 0.0],
    }


def test_who_never_switches_is_late_for_every_activation() -> None:
    assert switch_times([answer(5, 33.2, 33.3)], TURNS) == {
        1: [pytest.approx(23.0), pytest.approx(13.0), pytest.approx(3.0)]
    }


def test_an_older_version_after_a_newer_one_is_a_step_back() -> None:
    forward = [answer(5, 9, 9.1), answer(7, 11, 11.1), answer(8, 21, 21.1), answer(7, 31, 31.1)]
    assert steps_back(forward, TURNS) == 0
    assert steps_back([*forward, answer(8, 32, 32.1)], TURNS) == 1
    assert steps_back([*forward, answer(8, 32, 32.1, worker=2)], TURNS) == 0


def test_answers_that_overlap_have_no_order() -> None:
    assert steps_back([answer(8, 21.0, 21.2), answer(7, 21.1, 21.9)], TURNS) == 0
    assert steps_back([answer(8, 21.0, 21.2), answer(7, 21.2, 21.9)], TURNS) == 1
