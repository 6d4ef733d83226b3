"""What a command says of a database or storage that is not as it should be: a sentence, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.sampling import on_sqlite_alone
from tests.test_keep import free_port

pytestmark = on_sqlite_alone


def ended(tmp_path: Path, url: str, *arguments: str) -> tuple[int, str]:
    environment = os.environ | {"DATABASE_URL": url, "MEDIA_ROOT": str(tmp_path / "media")}
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [("create_backup",), ("restore_backup", "--newest"), ("migrate",)])
def test_a_database_that_is_away_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, told = ended(tmp_path, f"postgres://nobody@127.0.0.1:{free_port()}/plant", *arguments)
    assert (code, "Traceback" in told) == (1, False)
    assert told.splitlines()[-1].startswith("CommandError: The database does not answer. Please try again")


@pytest.mark.parametrize("arguments", [("train",), ("verify_backup", "--all")])
def test_a_database_that_is_not_migrated_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, told = ended(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3", *arguments)
    sentence = "CommandError: The database lacks tables or columns of this release: run manage.py migrate."
    assert (code, told.splitlines()[-1], "Traceback" in told) == (1, sentence, False)


def test_a_traceback_is_there_for_who_asks_for_it(tmp_path: Path) -> None:
    _, told = ended(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3", "train", "--traceback")
    assert "Traceback" in told
