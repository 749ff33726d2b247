from __future__ import annotations

import os
import random
import re
import secrets
import time
import timeit
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import Unauthenticated
from handlers.keys.grammar import (
    ALPHABET,
    CRC_CHARS,
    KEY_BYTES,
    REFUSAL,
    MintKeys,
    encode_base62,
    generate_key,
    mint_tag,
    parse_key,
)

SHAPE = re.compile(rb"^sk-tr-[lt][0-9A-Za-z]_[uc][0-9A-Za-z]{15}_[0-9A-Za-z]{60}$")
MUTATIONS = 120_000


@pytest.fixture(scope="module")
def mint_keys() -> MintKeys:
    return MintKeys({"1": os.urandom(32)}, "1")


def with_crc(body: bytes) -> bytes:
    return body + encode_base62(crc32(body), CRC_CHARS)


def admitted(token: bytes, mint_keys: MintKeys) -> bool:
    try:
        return mint_keys.vouch(parse_key(token, "global", "production"))
    except Unauthenticated:
        return False


@pytest.mark.claim("C13")
def test_a_new_key_has_the_published_shape_and_is_its_own(mint_keys: MintKeys) -> None:
    made = [generate_key("global", "production", mint_keys) for _ in range(200)]
    for key in made:
        token = key.token.encode()
        parsed = parse_key(token, "global", "production")
        assert SHAPE.match(token)
        assert len(token) == KEY_BYTES
        assert mint_keys.vouch(parsed)
        assert (parsed.key_id, parsed.secret) == (key.key_id, key.secret)
    assert len({key.key_id for key in made}) == len({key.secret for key in made}) == len(made)


@pytest.mark.claim("C13", "A15")
@pytest.mark.parametrize("count", [MUTATIONS, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a15_no_random_or_mutated_key_passes_the_tag(mint_keys: MintKeys, count: int) -> None:
    chance = random.Random(20260323)
    good = generate_key("global", "production", mint_keys).token.encode()
    passed = 0
    for _ in range(count // 3):
        # A bit of everything: characters changed (checksum mended or not), pure noise of the right shape, other lengths.
        mutated = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(6, KEY_BYTES)
            mutated[place] = chance.choice([byte for byte in ALPHABET if byte != mutated[place]])
        noise = b"sk-tr-l1_u" + bytes(chance.choices(ALPHABET, k=15)) + b"_" + bytes(chance.choices(ALPHABET, k=54))
        passed += admitted(with_crc(noise), mint_keys)
        body = bytes(mutated[: KEY_BYTES - CRC_CHARS])
        if body != good[: KEY_BYTES - CRC_CHARS]:
            passed += admitted(bytes(mutated), mint_keys) + admitted(with_crc(body), mint_keys)
    assert passed == 0


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_the_same_way(token: bytes) -> None:
    with pytest.raises(Unauthenticated) as caught:
        parse_key(token, "global", "production")
    assert (caught.value.message, caught.value.code, caught.value.detail) == (REFUSAL, "invalid_api_key", {})


@pytest.mark.claim("A08", "C45")
@pytest.mark.parametrize(("home", "here"), [("china", "global"), ("global", "china")])
def test_a08_a_key_of_the_other_region_is_told_where_to_go(home: str, here: str, mint_keys: MintKeys) -> None:
    token = generate_key(home, "production", mint_keys).token.encode()
    with pytest.raises(Unauthenticated) as caught:
        parse_key(token, here, "production")
    assert caught.value.code == "region_restricted"
    assert caught.value.http_status == 401
    assert caught.value.detail == {"region": home}


@pytest.mark.claim("A08", "C63")
def test_a08_a_key_of_the_other_environment_is_refused(mint_keys: MintKeys) -> None:
    token = generate_key("global", "local", mint_keys).token.encode()
    with pytest.raises(Unauthenticated) as caught:
        parse_key(token, "global", "production")
    assert caught.value.code == "environment_restricted"
    assert parse_key(token, "global", "staging").key_id


def test_regions_and_environments_may_be_given_by_letter(mint_keys: MintKeys) -> None:
    token = generate_key("u", "l", mint_keys).token.encode()
    assert parse_key(token, "global", "production") == parse_key(token, "u", "l")


def test_another_mint_key_vouches_for_nothing(mint_keys: MintKeys) -> None:
    token = generate_key("global", "production", MintKeys({"1": os.urandom(32)}, "1")).token.encode()
    assert not mint_keys.vouch(parse_key(token, "global", "production"))


def test_an_older_mint_key_still_vouches_and_a_dropped_one_does_not() -> None:
    old, new = os.urandom(32), os.urandom(32)
    token = generate_key("global", "production", MintKeys({"1": old}, "1")).token.encode()
    parsed = parse_key(token, "global", "production")
    assert MintKeys({"1": old, "2": new}, "2").vouch(parsed)
    assert not MintKeys({"2": new}, "2").vouch(parsed)


@pytest.mark.parametrize(
    ("keys", "newest"), [({"1": b"short"}, "1"), ({"12": b"x" * 32}, "12"), ({"1": b"x" * 32}, "2"), ({}, "1")]
)
def test_weak_or_unnamed_mint_keys_are_refused(keys: dict[str, bytes], newest: str) -> None:
    with pytest.raises(ValueError, match="mint key"):
        MintKeys(keys, newest)


def test_mint_keys_are_read_from_their_secret() -> None:
    key = encode_base62(secrets.randbits(256), 43)
    raw = b'{"newest": "a", "keys": {"a": "%s"}}' % key
    tagged = b"sk-tr-l1_"
    assert len(MintKeys.parse(raw).tag(tagged)) == len(mint_tag(b"x" * 32, tagged)) == 11
    for broken in (b"", b"{}", b'{"newest":"a","keys":{"a":"!!"}}', raw[:-3]):
        with pytest.raises(ValueError, match=r"secret|mint key"):
            MintKeys.parse(broken)


@pytest.mark.claim("C17")
def test_no_repr_shows_a_secret(mint_keys: MintKeys) -> None:
    made = generate_key("global", "production", mint_keys)
    shown = f"{made!r} {parse_key(made.token.encode(), 'global', 'production')!r} {mint_keys!r}"
    assert made.secret.decode() not in shown
    assert made.token[-20:] not in shown


@given(st.integers(min_value=0, max_value=62**11 - 1))
def test_base62_keeps_numbers_apart(value: int) -> None:
    digits = encode_base62(value, 11)
    decoded = 0
    for digit in digits:
        decoded = decoded * 62 + ALPHABET.index(digit)
    assert decoded == value
    with pytest.raises(OverflowError):
        encode_base62(value + 62**11, 11)


def test_reading_a_key_costs_microseconds(mint_keys: MintKeys) -> None:
    token = generate_key("global", "production", mint_keys).token.encode()
    # The thread's own processor time: a busy machine makes it wait, and that is not counted.
    best = min(
        timeit.repeat(
            lambda: mint_keys.vouch(parse_key(token, "global", "production")),
            timer=time.thread_time, number=1_000, repeat=20,
        )
    )  # fmt: skip
    assert best / 1_000 < 20e-6  # 5 us measured
