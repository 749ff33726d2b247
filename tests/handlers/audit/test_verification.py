from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import verifier_of
from handlers.audit.verification import TrailBroken, verify_export
from tests.handlers.audit.trails import ORIGIN, flip_each_bit, make_trail

KEY = Ed25519PrivateKey.generate()
VERIFIER = verifier_of(ORIGIN, KEY)
LINES = make_trail(KEY, 10, (4, 9))


@pytest.mark.claim("C60")
def test_an_untouched_trail_is_proven() -> None:
    for pinned in ("", VERIFIER):
        verdict = verify_export(LINES, pinned)
        assert (verdict.rows, verdict.own_rows, verdict.checkpoints, verdict.sealed_rows) == (10, 7, 2, 9)
        assert verdict.verifier == VERIFIER


def row_at(line: int) -> str:
    """The row that must be named when its line is damaged: lines 5 and 11 are checkpoints."""
    return f"row {line - (line > 5) - (line > 11)}"


@pytest.mark.claim("C60")
def test_one_flipped_bit_anywhere_is_noticed_and_its_row_named() -> None:
    for line, damaged in flip_each_bit(LINES):
        with pytest.raises(TrailBroken) as caught:
            verify_export(damaged, VERIFIER)
        if line not in {0, 5, 11}:
            assert row_at(line) in str(caught.value), (line, damaged[line])


@pytest.mark.claim("C60")
@pytest.mark.parametrize("line", [1, 2, 3, 4, 6, 7, 8, 9])
def test_a_row_that_is_left_out_is_named(line: int) -> None:
    named = f"{row_at(line)} is missing" if line != 4 else "checkpoint of 4 rows: it stands at row 3"
    with pytest.raises(TrailBroken, match=named):
        verify_export([*LINES[:line], *LINES[line + 1 :]], VERIFIER)


@pytest.mark.claim("C60")
def test_rows_written_anew_with_a_chain_of_their_own_have_no_signature() -> None:
    forged = make_trail(Ed25519PrivateKey.generate(), 10, (4, 9))
    assert verify_export(forged).rows == 10  # who holds no key of ours can only be told: compare the key
    with pytest.raises(TrailBroken, match="another key"):
        verify_export(forged, VERIFIER)
    with pytest.raises(TrailBroken, match="checkpoint of 4 rows"):
        verify_export([LINES[0], *forged[1:5], LINES[5]], VERIFIER)
    mixed = [forged[0], *make_trail(KEY, 10, (4, 9))[1:]]
    with pytest.raises(TrailBroken, match="another key"):
        verify_export(mixed)


def test_rows_in_another_order_and_rows_of_another_tenant_are_refused() -> None:
    order = list(range(1, len(LINES)))
    random.Random(7).shuffle(order)
    with pytest.raises(TrailBroken):
        verify_export([LINES[0], *(LINES[at] for at in order)], VERIFIER)
    with pytest.raises(TrailBroken, match="another place"):
        verify_export([LINES[0].replace(b"000001", b"000002"), *LINES[1:]], VERIFIER)


@pytest.mark.parametrize("lines", [[], LINES[1:], [*LINES[:3], LINES[0]], [b"{}\n"], [b"[" * 10_000], LINES[:3]])
def test_files_that_are_no_whole_trail_are_refused(lines: list[bytes]) -> None:
    with pytest.raises(TrailBroken):
        verify_export(lines, VERIFIER)
