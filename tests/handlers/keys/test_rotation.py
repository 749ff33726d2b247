from __future__ import annotations

import base64
import secrets

import msgspec
import pytest

from handlers.keys.grammar import MintKeys, generate_key, parse_key
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.rotation import make_password, retire_sealing_key, rotate_mint_keys, rotate_sealing_keys
from handlers.keys.sealing import SealBroken, SealContext, SealingKey, derive_public, seal

CONTEXT = SealContext("global", "local", "openai", "account", "record")


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.claim("C16")
def test_api_keys_of_every_version_stay_ours_and_new_ones_carry_the_newest() -> None:
    secret = msgspec.json.encode({"newest": "1", "keys": {"1": encode(secrets.token_bytes(32))}})
    tokens = []
    for _ in range(4):
        tokens.append(generate_key("global", "local", MintKeys.parse(secret)).token)
        secret = rotate_mint_keys(secret)
    keys = MintKeys.parse(secret)
    parsed = [parse_key(token.encode(), "global", "local") for token in tokens]
    assert all(keys.vouch(each) for each in parsed)
    assert [each.version for each in parsed] == ["1", "2", "3", "4"]
    for _ in range(56):
        secret = rotate_mint_keys(secret)
    with pytest.raises(ValueError, match="used"):
        rotate_mint_keys(secret)


@pytest.mark.claim("C16")
def test_what_was_sealed_to_an_old_version_opens_until_that_version_is_retired() -> None:
    secret = msgspec.json.encode({"1": encode(secrets.token_bytes(32))})
    old = seal(SealingKey(1, derive_public(parse_private_keys(secret)[1])), b"old", CONTEXT)
    secret = rotate_sealing_keys(secret)
    held = parse_private_keys(secret)
    new = seal(SealingKey(2, derive_public(held[2])), b"new", CONTEXT)
    assert (open_sealed(held, old, CONTEXT), open_sealed(held, new, CONTEXT)) == (b"old", b"new")
    left = parse_private_keys(retire_sealing_key(secret, 1))
    assert open_sealed(left, new, CONTEXT) == b"new"
    with pytest.raises(SealBroken):
        open_sealed(left, old, CONTEXT)
    for version in (2, 3):
        with pytest.raises(ValueError, match="old version"):
            retire_sealing_key(secret, version)


def test_passwords_are_long_and_never_the_same() -> None:
    assert len({make_password() for _ in range(100)}) == 100
    assert len(make_password()) >= 32
