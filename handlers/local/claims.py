"""`therouter claims`: runs the tests that carry claims of the trust page, and says which claims have proof.

Writes handlers/site/claims.json, from which the page takes every state that it shows; nothing else turns a claim green. Exits
1 when a claim has a failing test, 0 otherwise: a claim without a test is red on the page, and no reason to stop a build.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from handlers.local.tables import show
from handlers.site.outline import sentences_of
from handlers.site.proofs import REPORT, Report, Standing, proof_of, read_report, standing_of
from handlers.site.texts import load_texts

ROOT = Path(__file__).parents[2]
COLUMNS = ("claim", "state", "passed", "failed", "skipped", "sentence", "tests")
SENTENCE_WIDTH = 60
STDERR = 2
FINISHED = frozenset({0, 1, 5})
"""pytest's exit codes for a whole run: all passed, some failed, none collected."""


def show_claims(options: argparse.Namespace) -> int:
    """`therouter claims`: 0 no test of a claim failed, 1 one did, or there is no report."""
    path = Path(
        options.report or (REPORT if not options.tests else Path(tempfile.gettempdir()) / "therouter-claims.json")
    )
    if not options.no_run and not run_tests(path, options.tests, workers=options.workers):
        return 1
    report = read_report(path)
    if report is None:
        print(f"therouter: {path} holds no report; run: therouter claims", file=sys.stderr)
        return 1
    print_report(report, as_json=options.json)
    return 1 if any(standing_of(report, claim) is Standing.FAILING for claim in sentences_of()) else 0


def run_tests(path: Path, tests: list[str], *, workers: str) -> bool:
    """Run pytest on everything that carries a claim; False when it could not, with the remedy said."""
    if not (ROOT / "tests" / "claims_report.py").exists() or importlib.util.find_spec("pytest") is None:
        print("therouter: claims are proven in a checkout with the test environment: make check", file=sys.stderr)
        return False
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-m", "claim and not slow", "-n", workers, "--dist", "loadfile"),
        *("-p", "tests.claims_report", "--claims-report", str(path.resolve()), *tests),
    ]
    path.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=STDERR)
    if done.returncode in FINISHED:
        return True
    path.unlink(missing_ok=True)
    print(
        "therouter: the test run did not finish, so there is no report; what pytest says stands above", file=sys.stderr
    )
    return False


def print_report(report: Report, *, as_json: bool) -> None:
    """A table: claim -> state, tests, sentence."""
    texts = load_texts("en")
    rows = []
    for claim, keys in sentences_of().items():
        proof = proof_of(report, claim)
        sentence = texts[keys[0]]
        if not as_json and len(sentence) > SENTENCE_WIDTH:
            sentence = sentence[: SENTENCE_WIDTH - 1] + "…"
        tests = " ".join(dict.fromkeys(test.partition("::")[0] for test in (*proof.failed, *proof.passed)))
        counts = (len(proof.passed), len(proof.failed), len(proof.skipped))
        rows.append((claim, standing_of(report, claim).value, *counts, sentence, tests))
    show(
        COLUMNS if as_json else COLUMNS[:-1],
        rows if as_json else [row[:-1] for row in rows],
        as_json=as_json,
        empty="no claims",
    )
    if not as_json:
        _conclude(report)


def _conclude(report: Report) -> None:
    counts = Counter(standing_of(report, claim) for claim in sentences_of())
    modified = " with uncommitted changes" if report.modified else ""
    print(f"\nran {report.ran_at} on commit {report.commit[:12]}{modified}")
    print(
        ", ".join(
            f"{counts[standing]} {standing}" for standing in (Standing.PROVEN, Standing.FAILING, Standing.UNPROVEN)
        )
    )
    for standing in (Standing.FAILING, Standing.UNPROVEN):
        named = [claim for claim in sentences_of() if standing_of(report, claim) is standing]
        if named:
            line = f"{standing}: {' '.join(named)}"
            print(f"\x1b[31m{line}\x1b[0m" if sys.stdout.isatty() else line)


def add_options(parser: argparse.ArgumentParser) -> None:
    """How `therouter claims` is spelled."""
    parser.add_argument("tests", nargs="*", help="only these tests; what they leave out shows as unproven")
    parser.add_argument("--report", help="the file to write and read (the site's own, unless tests are named)")
    parser.add_argument("--no-run", action="store_true", help="show the report that is there, without running tests")
    parser.add_argument("--workers", default="auto", help="test processes (auto)")
