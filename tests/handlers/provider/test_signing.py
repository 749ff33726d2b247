from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handlers.provider.signing import SCHEMES, CredentialError, make_signer
from handlers.translation.canonical.attempt import UpstreamRequest

REQUEST = UpstreamRequest("POST", "/chat/completions", (("content-type", "application/json"),), b"{}", streams=False)
BASE = "https://bedrock-runtime.us-east-2.amazonaws.com"


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ("bearer", ("authorization", "Bearer word")),
        ("x-api-key", ("x-api-key", "word")),
        ("api-key", ("api-key", "word")),
        ("google", ("x-goog-api-key", "word")),
    ],
)
def test_constant_schemes(scheme: str, header: tuple[str, str]) -> None:
    assert make_signer(scheme, "word", BASE)(REQUEST, 0.0) == (header,)


def test_no_credential_no_header() -> None:
    assert make_signer("none", "", BASE)(REQUEST, 0.0) == ()


@pytest.mark.claim("A22")
@pytest.mark.parametrize("bad", ["", "a b", "a\r\nx-evil: 1", "a\x00", "sch\u00f6n", "a\tb"])
@pytest.mark.parametrize("scheme", ["bearer", "x-api-key", "api-key", "google"])
def test_a_credential_cannot_forge_headers(scheme: str, bad: str) -> None:
    with pytest.raises(CredentialError) as refusal:
        make_signer(scheme, bad, BASE)
    assert not bad or bad not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["sigv4", "service-account"])
@pytest.mark.parametrize("bad", ["", "word", "[]", '{"access_key_id":"A"}'])
def test_structured_credentials_say_their_form(scheme: str, bad: str) -> None:
    with pytest.raises(CredentialError, match="JSON"):
        make_signer(scheme, bad, BASE)


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CredentialError, match="bearer"):
        make_signer("basic", "word", BASE)
    assert set(SCHEMES) == {"bearer", "x-api-key", "api-key", "google", "none", "sigv4", "service-account"}


def test_bedrock_takes_its_region_from_the_host() -> None:
    credential = msgspec.json.encode({"access_key_id": "AKIDEXAMPLE", "secret_access_key": "s"}).decode()
    headers = dict(make_signer("sigv4", credential, BASE)(REQUEST, 1_700_000_000.0))
    assert "/20231114/us-east-2/bedrock/aws4_request" in headers["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date" in headers["authorization"]


def test_a_service_account_signs_its_own_tokens_and_renews_them() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"client_email": "robot@example.com", "private_key": pem, "private_key_id": "k1"}
    sign = make_signer("service-account", msgspec.json.encode(account).decode(), BASE)
    first = dict(sign(REQUEST, 1_000_000.0))["authorization"]
    assert dict(sign(REQUEST, 1_001_000.0))["authorization"] == first
    assert dict(sign(REQUEST, 1_003_001.0))["authorization"] != first
    signed, _, signature = first.removeprefix("Bearer ").rpartition(".")
    key.public_key().verify(decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    claims = msgspec.json.decode(decode(signed.partition(".")[2]))
    assert claims["iss"] == claims["sub"] == "robot@example.com"
    assert claims["exp"] - claims["iat"] == 3600


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
