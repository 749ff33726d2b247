"""Digests of secrets, under keys that have versions."""

from __future__ import annotations

import hmac
import secrets

import pytest

from handlers.keys.digests import DigestKeys
from handlers.keys.rotation import DIGEST_KEYS_KEPT, add_digest_key

FIRST = secrets.token_urlsafe(32).encode()


def test_a_plain_text_is_version_one_and_digests_as_before() -> None:
    keys = DigestKeys.parse(FIRST)
    assert keys.digest("a secret") == f"hmac:v1:{hmac.digest(FIRST, b'a secret', 'sha256').hex()}"
    assert keys.digests("a secret") == [keys.digest("a secret")]
    assert FIRST.decode() not in repr(keys)


@pytest.mark.claim("C63")
def test_what_was_noted_under_a_key_of_before_is_recognised_for_as_long_as_the_trail_is_kept() -> None:
    value, noted = FIRST, []
    for _ in range(DIGEST_KEYS_KEPT):
        noted.append(DigestKeys.parse(value).digest("a secret"))
        value = add_digest_key(value)
    keys = DigestKeys.parse(value)
    assert len(keys.keys) == DIGEST_KEYS_KEPT
    assert keys.digests("a secret")[1:] == list(reversed(noted))[: DIGEST_KEYS_KEPT - 1]
    assert keys.digest("a secret").startswith(f"hmac:v{DIGEST_KEYS_KEPT + 1}:")
    assert keys.newest_first()[0] == keys.keys[keys.newest]
    assert DigestKeys.parse(keys.write()) == keys


@pytest.mark.parametrize(
    "secret",
    [
        b"short",
        b"",
        b"{}",
        b'{"newest":"1","keys":{}}',
        b'{"newest":"2","keys":{"1":"' + FIRST + b'"}}',
        b'{"newest":"1","keys":{"1":"canary"}}',
        b'{"newest":"x","keys":{"x":"' + FIRST + b'"}}',
    ],
    ids=range(7),  # some hold random keys, and every test process has to give a test the same name
)
def test_what_is_malformed_is_refused_without_its_text(secret: bytes) -> None:
    with pytest.raises(ValueError, match="audit/digest") as caught:
        DigestKeys.parse(secret)
    assert "canary" not in str(caught.value)
