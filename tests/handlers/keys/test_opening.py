from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.sealing import SealBroken, SealContext, SealingKey, generate_keypair, seal

CONTEXT = SealContext("global", "production", "openai", "account-1", "record-1")
PRIVATE, PUBLIC = generate_keypair()
SEALED = seal(SealingKey(1, PUBLIC), b"provider-key", CONTEXT)


@pytest.mark.claim("C15", "C16")
@given(st.binary(min_size=1, max_size=500))
def test_what_is_sealed_opens_again(value: bytes) -> None:
    assert open_sealed({1: PRIVATE}, seal(SealingKey(1, PUBLIC), value, CONTEXT), CONTEXT) == value


@pytest.mark.claim("C15", "C63")
@pytest.mark.parametrize("field", ["region", "environment", "provider", "account", "record"])
def test_a_sealed_key_moved_elsewhere_does_not_open(field: str) -> None:
    elsewhere = msgspec.structs.replace(CONTEXT, **{field: "elsewhere"})
    with pytest.raises(SealBroken):
        open_sealed({1: PRIVATE}, SEALED, elsewhere)
    # Nor when the header is rewritten to fit the new place.
    renamed = SEALED.replace(f".{getattr(CONTEXT, field)}.", ".elsewhere.")
    with pytest.raises(SealBroken):
        open_sealed({1: PRIVATE}, renamed, elsewhere)


@pytest.mark.claim("C15")
def test_one_flipped_bit_anywhere_does_not_open() -> None:
    head, _, text = SEALED.rpartition(".")
    ciphertext = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for position in range(len(ciphertext)):
        ciphertext[position] ^= 1 << (position % 8)
        broken = f"{head}.{base64.urlsafe_b64encode(ciphertext).rstrip(b'=').decode()}"
        with pytest.raises(SealBroken):
            open_sealed({1: PRIVATE}, broken, CONTEXT)
        ciphertext[position] ^= 1 << (position % 8)


@given(st.integers(min_value=0, max_value=len(SEALED) - 1))
def test_a_truncated_text_does_not_open(length: int) -> None:
    with pytest.raises(SealBroken):
        open_sealed({1: PRIVATE}, SEALED[:length], CONTEXT)


@pytest.mark.claim("C16")
def test_versions_rotate() -> None:
    new_private, new_public = generate_keypair()
    resealed = seal(SealingKey(2, new_public), b"provider-key", CONTEXT)
    both = {1: PRIVATE, 2: new_private}
    assert open_sealed(both, SEALED, CONTEXT) == open_sealed(both, resealed, CONTEXT)
    with pytest.raises(SealBroken):  # the old key is retired
        open_sealed({2: new_private}, SEALED, CONTEXT)
    with pytest.raises(SealBroken):  # a version cannot be claimed
        open_sealed({1: PRIVATE, 2: PRIVATE}, SEALED.replace(".1.", ".2."), CONTEXT)


@pytest.mark.claim("C35")
def test_another_providers_private_key_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        open_sealed({1: generate_keypair()[0]}, SEALED, CONTEXT)


@pytest.mark.claim("C17")
def test_the_error_says_nothing() -> None:
    with pytest.raises(SealBroken) as caught:
        open_sealed({}, SEALED, CONTEXT)
    assert str(caught.value) == ""


def test_private_keys_are_read_from_their_secret() -> None:
    text = base64.urlsafe_b64encode(PRIVATE).rstrip(b"=").decode()
    assert parse_private_keys(msgspec.json.encode({"1": text})) == {1: PRIVATE}
    for broken in (b"", b"{}", b"[]", b'{"1":"AA"}', b'{"x":"AA"}', b'{"0":"%s"}' % text.encode()):
        with pytest.raises(ValueError, match=r"seal/|base64url"):
            parse_private_keys(broken)
