"""Compiled modules are taken all together, and only while they were made of the sources that are here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.compiled import MARK, PACKAGE, SUFFIX, is_in_use, sources

PROBE = """
import sys
from pathlib import Path
from handlers.compiled import is_in_use, use_compiled
print(use_compiled(Path(sys.argv[1])), is_in_use())
import handlers.transport.memo
"""


def probe(folder: Path) -> subprocess.CompletedProcess[str]:
    """What a process says that asks for what lies in a folder, and then imports a module of it."""
    command = [sys.executable, "-c", PROBE, str(folder)]
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Something in the place of a compiled module, which cannot be loaded: whoever tries fails, so that it shows."""
    file = tmp_path / "handlers" / "transport" / f"memo{SUFFIX}"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no machine code")
    (tmp_path / MARK).write_text(sources(), encoding="ascii")
    return tmp_path


def test_modules_made_of_the_sources_that_are_here_come_from_the_folder(made: Path) -> None:
    done = probe(made)
    assert done.stdout == "True True\n"
    assert "ImportError" in done.stderr
    assert str(made) in done.stderr


@pytest.mark.parametrize("mark", [None, "", "0" * 64])
def test_what_was_made_of_other_sources_is_left_alone(made: Path, mark: str | None) -> None:
    if mark is None:
        (made / MARK).unlink()
    else:
        (made / MARK).write_text(mark, encoding="ascii")
    done = probe(made)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\n", "")


def test_the_digest_changes_with_each_letter_and_each_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("x = 1\n")
    seen = {sources(tmp_path)}
    first.write_text("x = 2\n")
    seen.add(sources(tmp_path))
    first.rename(second)
    seen.add(sources(tmp_path))
    first.write_text("")
    seen.add(sources(tmp_path))
    assert len(seen) == 4


def test_tests_run_from_source_unless_they_are_asked_not_to() -> None:
    assert is_in_use() is ("THEROUTER_TESTS_COMPILED" in os.environ)
