"""The bench takes the fastest interpreter of its version, with the packages of its own environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.interpreter import borrow, candidates, fastest

OWN = Path(sys.executable)
_VERSION = f"{sys.version_info.major} {sys.version_info.minor}"


def _interpreter(folder: Path, answer: str) -> Path:
    """Something that answers a probe with a line."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="ascii")
    script.chmod(0o755)
    return script


def test_an_interpreter_that_is_clearly_faster_is_taken(tmp_path: Path) -> None:
    assert fastest(OWN, [_interpreter(tmp_path, f"{_VERSION} 0.000001 /somewhere/fast python")]) == Path(
        "/somewhere/fast python"
    )


@pytest.mark.parametrize("answer", [f"{_VERSION} 1000.0 /slow", "3 9 0.000001 /older", "2 7 0.000001 /old"])
def test_one_that_is_slower_or_of_another_version_is_not(tmp_path: Path, answer: str) -> None:
    assert fastest(OWN, [_interpreter(tmp_path, answer)]) == OWN


def test_what_is_no_interpreter_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    assert fastest(OWN, [broken, tmp_path / "absent"]) == OWN


def test_those_of_the_path_are_found_each_once(tmp_path: Path) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    real = _interpreter(tmp_path, "")
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(real)
    found = candidates([str(tmp_path / "first"), str(tmp_path / "second"), str(tmp_path / "none")])
    assert found.count(real.resolve()) == 1


def test_a_borrowed_environment_has_our_packages_and_no_others_of_its_own(tmp_path: Path) -> None:
    python = borrow(OWN.resolve(), tmp_path / "borrowed")
    command = [str(python), "-c", "import msgspec, sys; print(msgspec.__file__, sys.prefix, sep='\\n')"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    module, prefix = done.stdout.splitlines()
    assert Path(module).is_relative_to(Path(sys.prefix).resolve()) or Path(module).is_relative_to(sys.prefix)
    assert Path(prefix) == tmp_path / "borrowed"
