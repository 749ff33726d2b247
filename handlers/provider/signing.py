"""How a provider knows us: one row per scheme in `SCHEMES`, from a credential to the headers of a request.

Most schemes are one constant header, made once per credential. A signer sees the request it signs and the time, so that
schemes which sign bodies (AWS) or issue short-lived tokens (Google service accounts) are rows like any other.
A credential that could not stand in a header is refused here: with a line break in it, it would forge headers.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handlers.provider.sigv4 import AwsCredential, Headers, Scope, sign_v4
from handlers.translation.canonical.attempt import UpstreamRequest

Signer = Callable[[UpstreamRequest, float], Headers]
"""(request, Unix seconds) -> the headers to add."""

_JWT_LIFETIME_S = 3600
_JWT_RENEWAL_S = 600


class CredentialError(ValueError):
    """A credential has not the form that its scheme needs; the message never quotes it."""


def make_signer(scheme: str, credential: str, base_url: str) -> Signer:
    """The signer of a scheme, or raise CredentialError.

    Args:
        scheme: a name in SCHEMES.
        credential: a key, or a JSON object for `sigv4` and `service-account`.
        base_url: the provider's address, which some schemes sign.
    """
    if scheme not in SCHEMES:
        raise CredentialError(f"the signing scheme must be one of {', '.join(sorted(SCHEMES))}")
    return SCHEMES[scheme](credential, base_url)


def _header(name: str, prefix: str = "") -> Callable[[str, str], Signer]:
    def make(credential: str, _: str) -> Signer:
        if not credential or not credential.isascii() or not credential.isprintable() or " " in credential:
            raise CredentialError("a provider key is one word of printable ASCII characters")
        headers: Headers = ((name, prefix + credential),)
        return lambda _request, _now_s: headers

    return make


def _none(_: str, __: str) -> Signer:
    return lambda _request, _now_s: ()


class _AwsKey(msgspec.Struct, frozen=True):
    access_key_id: str
    secret_access_key: str
    session_token: str = ""


def _sigv4(credential: str, base_url: str) -> Signer:
    """Bedrock: the region stands in the host name, bedrock-runtime.<region>.amazonaws.com."""
    try:
        key = msgspec.json.decode(credential, type=_AwsKey)
    except msgspec.DecodeError:
        raise CredentialError("an AWS key is JSON with access_key_id and secret_access_key") from None
    address = urlsplit(base_url)
    service, region, *_ = (*address.netloc.split("."), "", "")
    scope = Scope(region, "bedrock" if service.startswith("bedrock") else service)
    pair = AwsCredential(key.access_key_id, key.secret_access_key, key.session_token)

    def sign(request: UpstreamRequest, now_s: float) -> Headers:
        signed = (("host", address.netloc), *(header for header in request.headers if header[0] == "content-type"))
        target = address.path + request.path
        return sign_v4(
            pair, scope, method=request.method, target=target, headers=signed, body=request.body, now_s=now_s
        )

    return sign


class _ServiceAccount(msgspec.Struct, frozen=True):
    client_email: str
    private_key: str
    private_key_id: str


def _service_account(credential: str, _: str) -> Signer:
    """Vertex: a token that we sign ourselves and Google's APIs accept, so that no token server is ever asked."""
    try:
        account = msgspec.json.decode(credential, type=_ServiceAccount)
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (msgspec.DecodeError, ValueError):
        raise CredentialError("a service account is Google's JSON file with client_email and private_key") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CredentialError("a service account's private_key is an RSA key")
    made: tuple[float, Headers] = (0.0, ())

    def sign(_request: UpstreamRequest, now_s: float) -> Headers:
        nonlocal made
        if now_s > made[0] - _JWT_RENEWAL_S:
            token = _signed_token(account, key, int(now_s))
            made = (now_s + _JWT_LIFETIME_S, (("authorization", f"Bearer {token}"),))
        return made[1]

    return sign


def _signed_token(account: _ServiceAccount, key: rsa.RSAPrivateKey, now_s: int) -> str:
    claims = {
        "iss": account.client_email,
        "sub": account.client_email,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "iat": now_s,
        "exp": now_s + _JWT_LIFETIME_S,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}
    signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (header, claims))
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signed, _base64url(signature))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


SCHEMES: dict[str, Callable[[str, str], Signer]] = {
    "bearer": _header("authorization", "Bearer "),
    "x-api-key": _header("x-api-key"),
    "api-key": _header("api-key"),
    "google": _header("x-goog-api-key"),
    "none": _none,
    "sigv4": _sigv4,
    "service-account": _service_account,
}
