"""A pytest plugin that writes which claims were tested and how it went; the trust page is made from its file.

    python -m pytest -p tests.claims_report --claims-report handlers/site/claims.json -m "claim and not slow"

Rules
    A test counts for every id that its `claim` marks name. It passed only if set-up, call and tear-down did; an expected
    failure proves nothing and counts as skipped.
    Abuse cases (A01-A95) are written too; the page shows claims.
    A run that was broken off leaves no report, not even the one before it.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from handlers.site.proofs import Proof, Report

ROOT = Path(__file__).parents[1]
PROPERTY = "claim"
FINISHED = frozenset({pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--claims-report", metavar="FILE", help="write which claims were tested, and how it went")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--claims-report")
    if path and not hasattr(config, "workerinput"):  # with xdist, the outcomes arrive at the controller
        config.pluginmanager.register(Collector(Path(path)), "claims-collector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks do not travel from xdist's workers; properties do."""
    for item in items:
        ids = {claim for mark in item.iter_markers("claim") for claim in mark.args}
        item.user_properties.extend((PROPERTY, claim) for claim in sorted(ids))


class Collector:
    """Gathers outcomes and writes them at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claims: dict[str, set[str]] = {}
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, claim in report.user_properties:
            if name == PROPERTY:
                self._claims.setdefault(str(claim), set()).add(report.nodeid)
        before = self._outcomes.get(report.nodeid, "passed")
        if "failed" not in {before, report.outcome}:
            self._outcomes[report.nodeid] = before if report.outcome == "passed" else report.outcome
        else:
            self._outcomes[report.nodeid] = "failed"

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus not in FINISHED:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(msgspec.json.format(msgspec.json.encode(self.report()), indent=1) + b"\n")

    def report(self) -> Report:
        """What has happened so far."""
        commit, modified = describe_sources()
        ran_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        order = sorted(self._claims, key=lambda claim: (claim[0], int(claim[1:])))
        return Report(commit, modified, ran_at, {claim: self._proof(claim) for claim in order})

    def _proof(self, claim: str) -> Proof:
        by_outcome: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
        for test in sorted(self._claims[claim]):
            by_outcome[self._outcomes[test]].append(test)
        return Proof(*(tuple(tests) for tests in by_outcome.values()))


def describe_sources() -> tuple[str, bool]:
    """(commit, whether the working tree differs from it); ("unknown", True) outside a checkout."""
    try:
        commit = _ask_git("rev-parse", "HEAD").strip()
        return commit, bool(_ask_git("status", "--porcelain").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True


def _ask_git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True, text=True).stdout
