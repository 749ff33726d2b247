"""`therouter audit verify FILE` as a person runs it: a process that has the file and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import verifier_of
from tests.handlers.audit.trails import ORIGIN, make_trail

KEY = Ed25519PrivateKey.generate()
VERIFIER = verifier_of(ORIGIN, KEY)


def verify(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    source = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-m", "handlers.local", "audit", "verify", str(path), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=path.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source)},
    )


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(make_trail(KEY, 12, (5, 10))))
    return path


@pytest.mark.claim("C60")
def test_a_trail_that_was_not_touched_is_proven_from_the_file_alone(trail: Path) -> None:
    done = verify(trail, "--key", VERIFIER)
    assert done.returncode == 0, done.stderr
    assert "12 rows fit" in done.stdout
    assert "cover the rows up to 10" in done.stdout
    assert "rows 11 to 12" in done.stdout
    assert VERIFIER in verify(trail).stdout
    assert '"sealed_rows":10' in verify(trail, "--json").stdout


@pytest.mark.claim("C60")
def test_one_flipped_bit_fails_and_names_the_row(trail: Path) -> None:
    content = bytearray(trail.read_bytes())
    at = content.index(b"key.create", content.index(b'"seq":7'))
    content[at] ^= 1
    trail.write_bytes(content)
    done = verify(trail)
    assert done.returncode == 1
    assert "row 7" in done.stderr


def test_another_key_and_no_file_fail(trail: Path, tmp_path: Path) -> None:
    other = verifier_of(ORIGIN, Ed25519PrivateKey.generate())
    assert verify(trail, "--key", other).returncode == 1
    missing = verify(tmp_path / "none.jsonl")
    assert (missing.returncode, "cannot be read" in missing.stderr) == (1, True)
