"""Keys that were found in public, as GitHub's secret scanning tells its partners.

The body is a list of `{"token", "type", "url", "source"}`, signed with ECDSA P-256 over its bytes; the public keys are published
at an address of the scanner. A key that we made is revoked within five seconds of the message; its owners are told where it was
found. The answer says for each whether it was one of ours. The tokens are neither stored nor logged.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import urlsplit

import httpx
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from handlers.admin.calls import ANYBODY, Call, Route
from handlers.clouds.alb import read_body
from handlers.clouds.mail import MailFailed, Notice
from handlers.errors import InvalidRequest, NotFound, Unauthenticated, Unavailable
from handlers.keys.grammar import parse_key
from handlers.settings import SettingError
from handlers.store.control import LeakedKey
from handlers.telemetry.logs import Dependency, DependencyLost, Identifier, Level

BODY_BYTES_MAX = 1024 * 1024
FOUND_MAX = 1_000
KEYS_S = 3_600.0
KEYS_PAUSE_S = 30.0
TIMEOUT_S = 5.0
SOURCE = "secret-scanning"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Found(msgspec.Struct, frozen=True):
    """One token that was found."""

    token: str
    type: str = ""
    url: str = ""
    source: str = ""


class Label(msgspec.Struct, frozen=True):
    """What we say about one token: `token_hash` is base64 of its SHA-256."""

    token_hash: str
    token_type: str
    label: str
    """true_positive | false_positive."""


class _PublishedKey(msgspec.Struct, frozen=True):
    key_identifier: str
    key: str


class _PublishedKeys(msgspec.Struct, frozen=True):
    public_keys: list[_PublishedKey]


class Scanner:
    """The scanner whose word we take.

    Args:
        keys_url: where its public keys are; https, or on this machine.
    """

    def __init__(self, keys_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        address = urlsplit(keys_url)
        if address.scheme != "https" and address.hostname not in LOOPBACK:
            raise SettingError("the keys of secret scanning are read over https")
        self._url, self._clock = keys_url, clock
        self._keys: dict[str, str] = {}
        self._read_at = float("-inf")

    def verify(self, body: bytes, identifier: str, signature: str) -> None:
        """Whether the scanner signed exactly these bytes.

        Raises:
            Unauthenticated: it did not.
            Unavailable: its keys cannot be read now.
        """
        pem = self._key(identifier)
        try:
            key = load_pem_public_key(pem.encode())
            raw = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            raise _unsigned() from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise _unsigned()
        try:
            key.verify(raw, body, ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise _unsigned() from None

    def _key(self, identifier: str) -> str:
        age = self._clock() - self._read_at
        if age > KEYS_S or (identifier not in self._keys and age > KEYS_PAUSE_S):
            self._keys, self._read_at = self._read(), self._clock()
        try:
            return self._keys[identifier]
        except KeyError:
            raise _unsigned() from None

    def _read(self) -> dict[str, str]:
        try:
            answer = httpx.get(self._url, timeout=TIMEOUT_S, trust_env=False).raise_for_status()
            published = msgspec.json.decode(answer.content, type=_PublishedKeys)
        except (httpx.HTTPError, msgspec.MsgspecError):
            raise Unavailable("The scanner's keys cannot be read now; send it again.", retry_after_s=30) from None
        return {key.key_identifier: key.key for key in published.public_keys}


def _unsigned() -> Unauthenticated:
    return Unauthenticated("The message is not signed by the scanner.", code="signature_invalid")


def take_leaks(call: Call) -> list[Label]:
    """Revoke every key of ours that was found in public, and tell its owners where."""
    scanner = call.room.scanner
    if scanner is None:
        raise NotFound("Secret scanning is not set up here.", code="scanning_not_configured")
    body = read_body(call.event, BODY_BYTES_MAX)
    headers = call.headers
    scanner.verify(
        body, headers.get("github-public-key-identifier", ""), headers.get("github-public-key-signature", "")
    )
    try:
        found = msgspec.json.decode(body, type=list[Found])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is a list of tokens that were found.") from None
    return [_judge(call, each) for each in found[:FOUND_MAX]]


def _judge(call: Call, found: Found) -> Label:
    key_id = _own_key(call, found.token)
    if key_id:
        leaked = call.room.store.revoke_leaked(key_id, SOURCE)
        if leaked is not None:
            _tell(call, leaked, found.url)
    digest = base64.b64encode(sha256(found.token.encode("utf-8", "surrogatepass")).digest()).decode()
    return Label(digest, found.type[:64], "true_positive" if key_id else "false_positive")


def _own_key(call: Call, token: str) -> str:
    """The id of a key that we made here, or empty: a token without our tag never reaches the database."""
    try:
        parsed = parse_key(token.encode("utf-8", "surrogatepass"), call.room.region, call.room.environment)
    except Unauthenticated:
        return ""
    return parsed.key_id if call.room.mint_keys.vouch(parsed) else ""


def _tell(call: Call, leaked: LeakedKey, url: str) -> None:
    place = url if url.isprintable() and len(url) <= 500 else "a public place"
    text = (
        f"The API key {leaked.key_id} ({leaked.name}) was found in public:\n\n  {place}\n\n"
        "It is revoked, and refused everywhere. Make a new key, replace the old one where it was used, and look at its\n"
        "usage in the time before. The audit trail has the rows key.update and key.leak.\n"
    )
    for address in leaked.addresses:
        try:
            call.room.mailbox.send(Notice(address, "An API key of yours was found in public and is revoked", text))
        except MailFailed:
            call.room.log.emit(
                DependencyLost(level=Level.ERROR, dependency=Dependency.UPSTREAM, name=Identifier("mail"))
            )


ROUTES = (
    Route(
        "POST",
        "/admin/integrations/secret-scanning",
        ANYBODY,
        "Take keys that a scanner found in public",
        take_leaks,
        list[Label],
    ),
)
