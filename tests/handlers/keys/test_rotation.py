from __future__ import annotations

import base64
import secrets

import msgspec
import pytest

from handlers.keys.grammar import MintKeys, generate_key, parse_key
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.rotation import (
    announce_mint_key,
    make_password,
    make_sealing_key,
    note_next_public,
    use_mint_key,
    use_next_public,
)
from handlers.keys.sealing import SealBroken, SealContext, parse_public_keys, seal

CONTEXT = SealContext("global", "local", "openai", "account", "record")


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.claim("C16")
def test_api_keys_of_every_version_stay_ours_and_new_ones_carry_the_newest() -> None:
    secret = msgspec.json.encode({"newest": "1", "keys": {"1": encode(secrets.token_bytes(32))}})
    tokens = []
    for _ in range(4):
        tokens.append(generate_key("global", "local", MintKeys.parse(secret)).token)
        announced, letter = announce_mint_key(secret)
        assert MintKeys.parse(announced).newest != letter
        secret = use_mint_key(announced, letter)
    keys = MintKeys.parse(secret)
    parsed = [parse_key(token.encode(), "global", "local") for token in tokens]
    assert all(keys.vouch(each) for each in parsed)
    assert [each.version for each in parsed] == ["1", "2", "3", "4"]
    for _ in range(56):
        secret, _ = announce_mint_key(secret)
    with pytest.raises(ValueError, match="used"):
        announce_mint_key(secret)


def test_an_announced_key_is_known_to_all_who_verify_before_anybody_uses_it() -> None:
    before = msgspec.json.encode({"newest": "1", "keys": {"1": encode(secrets.token_bytes(32))}})
    announced, letter = announce_mint_key(before)
    early = generate_key("global", "local", MintKeys.parse(use_mint_key(announced, letter)))
    parsed = parse_key(early.token.encode(), "global", "local")
    assert MintKeys.parse(announced).vouch(parsed)
    assert not MintKeys.parse(before).vouch(parsed)
    with pytest.raises(ValueError, match="newest"):
        use_mint_key(before, letter)


@pytest.mark.claim("C16")
def test_the_public_half_waits_until_it_is_used() -> None:
    first, second = make_sealing_key(1), make_sealing_key(2)
    rows = msgspec.json.encode({"openai": {"version": 1, "public": first.public}})
    noted = note_next_public(rows, "openai", second.public)
    assert parse_public_keys(noted) == parse_public_keys(rows)
    used = parse_public_keys(use_next_public(noted, "openai"))["openai"]
    text = seal(used, b"a key", CONTEXT)
    assert open_sealed(parse_private_keys(second.value), text, CONTEXT) == b"a key"
    with pytest.raises(SealBroken):
        open_sealed(parse_private_keys(first.value), text, CONTEXT)
    assert used.version == 2
    with pytest.raises(ValueError, match="next"):
        use_next_public(rows, "openai")
    assert first.digest != second.digest
    assert encode(parse_private_keys(second.value)[2]) not in repr(second)


def test_passwords_are_long_and_never_the_same() -> None:
    assert len({make_password() for _ in range(100)}) == 100
    assert len(make_password()) >= 32
