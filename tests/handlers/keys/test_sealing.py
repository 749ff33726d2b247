from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives import hpke

from handlers.keys.opening import open_sealed
from handlers.keys.sealing import (
    PROVIDER_KEY_BYTES_MAX,
    SUITE,
    SealBroken,
    SealContext,
    SealingKey,
    derive_public,
    generate_keypair,
    parse_public_keys,
    read_header,
    seal,
)

CONTEXT = SealContext("global", "production", "openai", "account-1", "record-1")


@pytest.mark.claim("C15")
def test_the_header_says_whose_key_opens_it_and_nothing_else_is_readable() -> None:
    private, public = generate_keypair()
    sealed = seal(SealingKey(3, public), b"provider-key-canary", CONTEXT)
    header = read_header(sealed)
    assert sealed.startswith("tr1.global.production.openai.3.")
    assert (header.region, header.environment, header.provider, header.version) == (
        "global",
        "production",
        "openai",
        3,
    )
    assert b"canary" not in header.ciphertext
    assert b"canary" not in base64.b64decode(sealed.rpartition(".")[2] + "==", altchars=b"-_")
    assert derive_public(private) == public


@pytest.mark.claim("C15")
def test_the_suite_is_x25519_hkdf_sha256_aes_256_gcm() -> None:
    # Another implementation of the same three choices opens it, so these are the choices.
    private, public = generate_keypair()
    header = read_header(seal(SealingKey(1, public), b"x", CONTEXT))
    other = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    opened = other.decrypt(header.ciphertext, X25519PrivateKey.from_private_bytes(private), info=CONTEXT.info(1))
    assert opened == b"x"
    assert len(header.ciphertext) == 32 + 1 + 16
    assert SUITE is not other


def test_info_keeps_fields_apart() -> None:
    assert SealContext("ab", "c", "d", "e", "f").info(1) != SealContext("a", "bc", "d", "e", "f").info(1)
    assert CONTEXT.info(1) != CONTEXT.info(2)


def test_two_seals_of_one_key_have_nothing_in_common() -> None:
    _, public = generate_keypair()
    first, second = (seal(SealingKey(1, public), b"same", CONTEXT) for _ in range(2))
    assert read_header(first).ciphertext[:32] != read_header(second).ciphertext[:32]


@pytest.mark.parametrize("value", [b"", b"x" * (PROVIDER_KEY_BYTES_MAX + 1)])
def test_empty_and_endless_keys_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="8192"):
        seal(SealingKey(1, generate_keypair()[1]), value, CONTEXT)


def test_the_largest_key_fits() -> None:
    private, public = generate_keypair()
    value = b"k" * PROVIDER_KEY_BYTES_MAX
    assert open_sealed({1: private}, seal(SealingKey(1, public), value, CONTEXT), CONTEXT) == value


def test_a_context_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="lower-case"):
        seal(SealingKey(1, generate_keypair()[1]), b"x", SealContext("global", "production", "a.b", "c", "d"))


@pytest.mark.parametrize("text", ["", "tr1", "tr2.global.local.p.1.AAAA", "tr1.global.local.p.0.AAAA", "tr1.g.l.p.1.A"])
def test_other_texts_are_no_sealed_keys(text: str) -> None:
    with pytest.raises(SealBroken):
        read_header(text)


def test_public_keys_are_read_from_their_secret() -> None:
    _, public = generate_keypair()
    text = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    secret = msgspec.json.encode({"openai": {"version": 2, "public": text}})
    assert parse_public_keys(secret) == {"openai": SealingKey(2, public)}
    for broken in (b"", b"[]", b'{"openai":{"version":1,"public":"AA"}}', b'{"openai":{"version":0,"public":""}}'):
        with pytest.raises(ValueError, match=r"seal/public|base64url"):
            parse_public_keys(broken)
