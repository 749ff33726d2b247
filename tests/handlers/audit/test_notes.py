from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import (
    NoteBroken,
    checkpoint_text,
    open_note,
    origin_of,
    parse_signing_key,
    read_checkpoint,
    sign_note,
    verifier_of,
)

ORIGIN = origin_of("global")
KEY = Ed25519PrivateKey.generate()
TEXT = checkpoint_text(ORIGIN, 3, bytes(range(32)))


@pytest.mark.claim("C60")
def test_a_note_opens_with_its_key_and_with_no_other() -> None:
    note = sign_note(TEXT, ORIGIN, KEY)
    assert open_note(note, verifier_of(ORIGIN, KEY)) == TEXT
    assert read_checkpoint(TEXT) == (ORIGIN, 3, bytes(range(32)))
    for verifier in (verifier_of(ORIGIN, Ed25519PrivateKey.generate()), verifier_of(origin_of("china"), KEY)):
        with pytest.raises(NoteBroken):
            open_note(note, verifier)


def test_the_signature_of_a_witness_beside_ours_is_no_matter() -> None:
    witness = Ed25519PrivateKey.generate()
    note = sign_note(TEXT, ORIGIN, KEY) + sign_note(TEXT, "witness.example", witness).rpartition("\n\n")[2]
    assert open_note(note, verifier_of(ORIGIN, KEY)) == open_note(note, verifier_of("witness.example", witness)) == TEXT


@pytest.mark.claim("C60")
def test_every_flipped_bit_of_a_note_is_noticed() -> None:
    note = sign_note(TEXT, ORIGIN, KEY).encode()
    verifier = verifier_of(ORIGIN, KEY)
    for bit in range(len(note) * 8):
        damaged = bytearray(note)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            text = open_note(damaged.decode(), verifier)
        except (NoteBroken, UnicodeDecodeError):
            continue
        assert text == TEXT, bit  # only what stands outside text and signature


@pytest.mark.parametrize("verifier", ["", "name", "name+00000000+AA==", f"{ORIGIN}+zz+{'A' * 44}", "a+b+c+d"])
def test_keys_of_another_form_are_refused(verifier: str) -> None:
    with pytest.raises(NoteBroken):
        open_note(sign_note(TEXT, ORIGIN, KEY), verifier)


@pytest.mark.parametrize(
    "text", ["", "a\n1\n", "a\n01\nAA==\n", "a\n-1\nAA==\n", "a\n1\n!\n", "a\n1\nAA==\nmore\n", "a\n1\nAA=="]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteBroken):
        read_checkpoint(text)


def test_signing_keys_are_read_from_the_secret_and_never_quoted() -> None:
    raw = KEY.private_bytes_raw()
    assert parse_signing_key(base64.urlsafe_b64encode(raw).rstrip(b"=")).private_bytes_raw() == raw
    with pytest.raises(ValueError, match="32 bytes") as caught:
        parse_signing_key(b"c2hvcnQ")
    assert "c2hvcnQ" not in str(caught.value)
