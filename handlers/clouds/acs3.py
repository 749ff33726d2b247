"""Alibaba Cloud's request signature, version 3 (ACS3-HMAC-SHA256). Pure: no clock, no randomness, no I/O.

Theory of operation
    canonical request   method, path, sorted query, the signed headers as `name:value` lines, their names, SHA-256 of the body
    string to sign      the algorithm's name and the SHA-256 of the canonical request
    signature           HMAC-SHA256 of the string to sign under the access key's secret, in hex

    Signed are `host`, `content-type` and every `x-acs-*` header, so neither the action nor the body can be exchanged under way.
    Shared by the handlers (secrets, identity) and by the deployment (`aliyun/client.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a security token when it is temporary. Its secret parts are never printed."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, as it will go over the wire."""

    host: str
    action: str
    version: str
    """Of the product's API, such as `2019-09-10`."""
    method: str = "POST"
    path: str = "/"
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""


def sign(request: Request, credentials: Credentials, *, now: datetime, nonce: str) -> dict[str, str]:
    """All headers of the request, `authorization` among them; `now` is aware, `nonce` is never used twice."""
    digest = hashlib.sha256(request.body).hexdigest()
    headers = {
        "host": request.host,
        "x-acs-action": request.action,
        "x-acs-content-sha256": digest,
        "x-acs-date": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": request.version,
    }
    if request.content_type:
        headers["content-type"] = request.content_type
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    names = sorted(headers)
    canonical = "\n".join(
        [
            request.method,
            request.path,
            encode_query(request.query),
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            ";".join(names),
            digest,
        ]
    )
    text = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(credentials.access_key_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return headers


def encode_query(parameters: Mapping[str, str]) -> str:
    """Parameters in their one canonical order and escaping (RFC 3986), for queries and for form bodies."""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
