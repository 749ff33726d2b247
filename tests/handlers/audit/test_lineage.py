"""Keys that hand over to one another, and trails whose first rows have ended."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.lineage import line_of_keys, sign_succession
from handlers.audit.notes import NoteBroken, verifier_of
from handlers.audit.verification import TrailBroken, verify_export
from tests.handlers.audit.trails import ORIGIN, flip_each_bit, make_long_trail

KEYS = [Ed25519PrivateKey.generate() for _ in range(4)]
VERIFIERS = [verifier_of(ORIGIN, key) for key in KEYS]
LINES = make_long_trail(KEYS[:3], 14, {4: 0, 7: 1, 9: 1, 12: 2}, begins_after=7)


@pytest.mark.claim("C60")
@pytest.mark.parametrize("place", [None, 0, 1, 2])
def test_whoever_knows_any_key_of_the_line_can_verify_what_all_of_them_have_signed(
    place: int | None,
) -> None:
    verdict = verify_export(LINES, "" if place is None else VERIFIERS[place])
    assert (verdict.rows, verdict.gone_rows, verdict.checkpoints, verdict.sealed_rows) == (14, 7, 2, 12)
    assert (verdict.keys, verdict.verifier) == (tuple(VERIFIERS[:3]), VERIFIERS[2])
    with pytest.raises(TrailBroken, match="another key"):
        verify_export(LINES, VERIFIERS[3])


@pytest.mark.claim("C60")
def test_one_flipped_bit_in_a_trail_with_a_beginning_and_changes_of_key_is_noticed() -> None:
    for _, damaged in flip_each_bit(LINES):
        with pytest.raises(TrailBroken, match=r"row|line 1|checkpoint of"):
            verify_export(damaged, VERIFIERS[0])


@pytest.mark.claim("C60")
@pytest.mark.parametrize("line", range(1, len(LINES) - 1))
def test_a_line_that_is_left_out_is_noticed(line: int) -> None:
    rest = [*LINES[:line], *LINES[line + 1 :]]
    if b'"checkpoint","size":9' in LINES[line]:
        assert verify_export(rest, VERIFIERS[0]).checkpoints == 1, "the later one covers its rows"
        return
    with pytest.raises(TrailBroken):
        verify_export(rest, VERIFIERS[0])


@pytest.mark.claim("C60")
def test_a_key_that_has_handed_over_signs_nothing_any_more() -> None:
    with pytest.raises(TrailBroken, match="checkpoint of 9 rows"):
        verify_export(make_long_trail(KEYS[:2], 10, {4: 1, 9: 0}), VERIFIERS[0])


@pytest.mark.claim("C60")
def test_nobody_takes_over_without_the_signature_of_the_key_before() -> None:
    first, second, thief = KEYS[0], KEYS[1], KEYS[3]
    honest = [sign_succession(ORIGIN, first, second)]
    assert line_of_keys(ORIGIN, honest, VERIFIERS[0]) == tuple(VERIFIERS[:2])
    stolen = sign_succession(ORIGIN, thief, KEYS[2])
    for steps in (
        [*honest, stolen],
        [stolen, *honest],
        [honest[0].__class__(VERIFIERS[0], VERIFIERS[3], stolen.note)],
        [honest[0].__class__(VERIFIERS[0], VERIFIERS[3], honest[0].note)],
        [*honest, *honest],
        [*honest, sign_succession(ORIGIN, second, first)],
        [sign_succession("therouter.ai/audit/china", first, second)],
    ):
        with pytest.raises(NoteBroken):
            line_of_keys(ORIGIN, steps, VERIFIERS[0])
    with pytest.raises(NoteBroken):
        line_of_keys(ORIGIN, honest, VERIFIERS[3])


@pytest.mark.claim("C60")
def test_a_forged_beginning_stands_for_nothing() -> None:
    cut = make_long_trail([KEYS[3]], 14, {7: 0, 12: 0}, begins_after=7)
    assert verify_export(cut).gone_rows == 7
    with pytest.raises(TrailBroken, match="another key"):
        verify_export(cut, VERIFIERS[0])
    with pytest.raises(TrailBroken, match="the beginning before row 8"):
        verify_export([*LINES[:3], cut[1], *LINES[4:]], VERIFIERS[0])
    with pytest.raises(TrailBroken, match="row 8 is missing"):
        verify_export(LINES[:4])
