import io
import sys

import pytest

from training.management.progress import track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_small_work_says_only_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", total=3, label="Reading", unit="letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "Reading: 3 of 3 letters\n"


def test_lines_come_at_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = ["x" * 1_500] * 20
    assert list(track(pieces, total=30_000, label="Writing", size=len)) == pieces
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert (lines[0], lines[-1]) == ("Writing: 3,000 of 30,000 records", "Writing: 30,000 of 30,000 records")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track("abc", total=3, label="Reading")) == ["a", "b", "c"]
    assert "Reading: 100%" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_no_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([], total=0, label="Reading")) == []
    assert capsys.readouterr().err == ""
