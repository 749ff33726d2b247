"""One small HTTP request to a cloud's own API, with verified TLS, a deadline and a bounded answer."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from handlers.clouds.secrets import SecretError

TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 1024 * 1024
_PLAIN_HOSTS = frozenset({"127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
"""This machine, and the link-local addresses at which clouds hand out identities."""


class Answer(msgspec.Struct, frozen=True):
    """Status, body and headers (names in lower case)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


def send(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send one request; SecretError when the cloud does not answer. Plain HTTP is for this machine alone."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in _PLAIN_HOSTS:
        raise SecretError("a secret store is reached over https, or on this machine")
    connection = _connect(parts.scheme, host, parts.port, timeout_s)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body=body or None, headers=dict(headers))
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read(ANSWER_BYTES_MAX), told)
    except (OSError, http.client.HTTPException):
        raise SecretError(f"the secret store at {host} does not answer") from None
    finally:
        connection.close()


def _connect(scheme: str, host: str, port: int | None, timeout_s: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)
