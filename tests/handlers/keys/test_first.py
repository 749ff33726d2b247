"""First versions are what the rooms that read them take."""

from __future__ import annotations

import msgspec
import pytest

from handlers.keys.first import first_version, is_ours, public_halves
from handlers.keys.grammar import MintKeys, generate_key, parse_key
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.sealing import SealContext, parse_public_keys, seal


def test_the_mint_key_makes_keys_that_it_vouches_for() -> None:
    keys = MintKeys.parse(first_version("keys/mint"))
    made = generate_key("global", "production", keys)
    assert keys.vouch(parse_key(made.token.encode(), "global", "production"))


def test_what_is_sealed_to_the_public_halves_is_opened_by_the_private_ones() -> None:
    private = {slug: first_version(f"seal/{slug}") for slug in ("openai", "groq")}
    public = parse_public_keys(public_halves(private))
    context = SealContext("global", "production", "openai", "account", "record")
    sealed = seal(public["openai"], b"a provider's key", context)
    assert open_sealed(parse_private_keys(private["openai"]), sealed, context) == b"a provider's key"
    assert set(public) == set(private)


@pytest.mark.parametrize("name", ["database/gateway", "wire/openai", "audit/digest", "audit/checkpoint"])
def test_random_texts_are_long_and_never_the_same(name: str) -> None:
    values = {first_version(name) for _ in range(50)}
    assert len(values) == 50
    assert all(len(value) >= 43 and value.isascii() for value in values)


@pytest.mark.parametrize("name", ["provider/openai", "payments/stripe", "seal/public", "database/owner", "keys/other"])
def test_what_comes_from_outside_is_made_by_nobody_here(name: str) -> None:
    assert not is_ours(name)
    with pytest.raises(ValueError, match=name):
        first_version(name)


def test_the_public_halves_are_those_of_the_newest_versions() -> None:
    old, new = first_version("seal/openai"), first_version("seal/openai")
    both = {"1": msgspec.json.decode(old)["1"], "2": msgspec.json.decode(new)["1"]}
    told = msgspec.json.decode(public_halves({"openai": msgspec.json.encode(both)}))
    alone = msgspec.json.decode(public_halves({"openai": new}))
    assert told["openai"]["version"] == 2
    assert told["openai"]["public"] == alone["openai"]["public"]
