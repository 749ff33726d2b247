from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from handlers.site.proofs import Proof, Report, Standing, standing_of

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.claim("C1", "A01")
def test_good(): pass

@pytest.mark.claim("C1")
@pytest.mark.parametrize("n", [1, 2])
def test_many(n): pass

@pytest.mark.claim("C2")
def test_bad(): assert False

@pytest.mark.claim("C2")
def test_good_beside_it(): pass

@pytest.mark.claim("C3")
def test_absent(): pytest.skip("not here")

@pytest.mark.claim("C4")
@EXPECTED
def test_expected_to_fail(): assert False

@pytest.fixture
def broken():
    yield
    raise RuntimeError

@pytest.mark.claim("C5")
def test_whose_teardown_fails(broken): pass

def test_without_a_claim(): pass
""".replace("EXPECTED", "pytest.mark.x" + "fail")  # the project's own tests may not use that mark


def run(folder: Path, *options: str) -> Report:
    (folder / "test_sample.py").write_text(TESTS)
    path = folder / "report" / "claims.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.claims_report", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "--claims-report", str(path), *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout
    return msgspec.json.decode(path.read_bytes(), type=Report)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_only_what_passed_is_proven(tmp_path: Path, workers: str) -> None:
    report = run(tmp_path, "-n", workers)
    name = "test_sample.py::"
    assert report.claims == {
        "A01": Proof(passed=(f"{name}test_good",)),
        "C1": Proof(passed=(f"{name}test_good", f"{name}test_many[1]", f"{name}test_many[2]")),
        "C2": Proof(passed=(f"{name}test_good_beside_it",), failed=(f"{name}test_bad",)),
        "C3": Proof(skipped=(f"{name}test_absent",)),
        "C4": Proof(skipped=(f"{name}test_expected_to_fail",)),
        "C5": Proof(failed=(f"{name}test_whose_teardown_fails",)),
    }
    standings = {claim: standing_of(report, claim) for claim in ("C1", "C2", "C3", "C4", "C5", "C6")}
    assert standings == {
        "C1": Standing.PROVEN,
        "C2": Standing.FAILING,
        "C3": Standing.UNPROVEN,
        "C4": Standing.UNPROVEN,
        "C5": Standing.FAILING,
        "C6": Standing.UNPROVEN,
    }
    assert report.ran_at.endswith("Z")
    assert report.commit


def test_a_run_that_was_broken_off_leaves_no_report(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import nothing_that_exists")
    path = tmp_path / "claims.json"
    path.write_text("{}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.claims_report", "-c", "/dev/null"]
    command += ["--rootdir", str(tmp_path), "--claims-report", str(path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert not path.exists()
