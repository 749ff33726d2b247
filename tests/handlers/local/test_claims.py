from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from handlers.local.cli import main
from handlers.site.outline import sentences_of
from handlers.site.proofs import Proof, Report

REPORT = Report(
    commit="0123456789abcdef",
    modified=False,
    ran_at="2026-11-23T07:00:00Z",
    claims={"C1": Proof(passed=("tests/a.py::test_one", "tests/a.py::test_two"))},
)


def write(path: Path, report: Report) -> str:
    path.write_bytes(msgspec.json.encode(report))
    return str(path)


def test_the_table_lists_every_claim_and_names_those_without_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "--no-run", "--report", write(tmp_path / "claims.json", REPORT)]) == 0
    shown = capsys.readouterr().out
    assert "1 proven, 0 failing, 76 unproven" in shown
    unproven = next(line for line in shown.splitlines() if line.startswith("unproven: "))
    assert unproven.split()[1:] == [claim for claim in sentences_of() if claim != "C1"]
    assert "commit 0123456789ab" in shown


def test_a_failing_claim_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = msgspec.structs.replace(REPORT, claims={"C7": Proof(passed=("x::a",), failed=("x::b",))})
    assert main(["claims", "--no-run", "--json", "--report", write(tmp_path / "claims.json", failing)]) == 1
    rows = msgspec.json.decode(capsys.readouterr().out)
    assert {row["claim"]: row["state"] for row in rows if row["state"] != "unproven"} == {"C7": "failing"}


def test_no_report_is_said_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--no-run", "--report", str(tmp_path / "claims.json")]) == 1
    assert "run: therouter claims" in capsys.readouterr().err


def test_named_tests_are_run_and_leave_the_sites_report_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "claims.json"
    tests = "tests/handlers/site/test_disclosure.py"
    assert main(["claims", "--workers", "0", "--report", str(report), tests]) == 0
    assert "1 proven, 0 failing, 76 unproven" in capsys.readouterr().out
    assert report.exists()


def test_a_run_that_breaks_off_leaves_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "claims.json"
    assert main(["claims", "--workers", "0", "--report", str(report), "tests/no_such_test.py"]) == 1
    assert not report.exists()
    assert "did not finish" in capsys.readouterr().err
