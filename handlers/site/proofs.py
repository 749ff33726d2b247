"""Which claims a test run has proved: reads the report that `therouter claims` writes. Nothing here is ever green by default.

A claim is proven when at least one test that carries its id passed and none failed. A test that was skipped proves nothing.
Without a report, as without a readable one, every claim is "not measured in this deployment".
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

REPORT = Path(__file__).parent / "claims.json"
"""Written before the package is built and never committed: it describes one run of one commit."""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the tests that carry one claim; each a pytest node id."""

    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One test run."""

    commit: str
    modified: bool
    """The working tree differed from the commit."""
    ran_at: str
    """UTC, `2026-11-23T07:00:00Z`."""
    claims: dict[str, Proof]


class Standing(StrEnum):
    """How a claim stands; the value names its text and its colour."""

    PROVEN = "proven"
    FAILING = "failing"
    UNPROVEN = "unproven"
    UNMEASURED = "unmeasured"


NOTHING = Proof()


def read_report(path: Path = REPORT) -> Report | None:
    """The report, or None when there is none or it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def proof_of(report: Report | None, claim: str) -> Proof:
    """The tests of one claim."""
    return NOTHING if report is None else report.claims.get(claim, NOTHING)


def standing_of(report: Report | None, claim: str) -> Standing:
    """How one claim stands."""
    if report is None:
        return Standing.UNMEASURED
    proof = proof_of(report, claim)
    if proof.failed:
        return Standing.FAILING
    return Standing.PROVEN if proof.passed else Standing.UNPROVEN
