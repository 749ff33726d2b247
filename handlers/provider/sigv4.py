"""AWS Signature Version 4, for requests whose whole body is at hand.

Pure: time is an argument. The canonical form follows AWS's rules for every service but S3: each path segment is encoded
once more, because it is already encoded as sent. Checked against botocore and AWS's published example.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import NamedTuple
from urllib.parse import quote

Headers = tuple[tuple[str, str], ...]

_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsCredential(NamedTuple):
    """An access key; `session_token` is empty for long-lived keys."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        """Names the key id, never the secret."""
        return f"AwsCredential({self.access_key_id})"


class Scope(NamedTuple):
    """What a signature is good for."""

    region: str
    service: str


def sign_v4(
    credential: AwsCredential, scope: Scope, *, method: str, target: str, headers: Headers, body: bytes, now_s: float
) -> Headers:
    """The headers that authenticate a request.

    Args:
        credential: whose signature.
        scope: region and service.
        method: in upper case.
        target: path and query as sent.
        headers: every header to be signed, names in lower case, `host` among them.
        body: the whole body.
        now_s: Unix seconds.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    added: Headers = (("x-amz-date", moment),)
    if credential.session_token:
        added += (("x-amz-security-token", credential.session_token),)
    signed = sorted((name, " ".join(value.split())) for name, value in (*headers, *added))
    names = ";".join(name for name, _ in signed)
    path, _, query = target.partition("?")
    canonical = "\n".join(
        (
            method,
            quote(path or "/", safe="/~"),
            "&".join(sorted(part if "=" in part else f"{part}=" for part in query.split("&") if part)),
            *(f"{name}:{value}" for name, value in signed),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    day = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _mac(_key(credential, scope, moment[:8]), f"{_ALGORITHM}\n{moment}\n{day}\n{digest}").hex()
    value = f"{_ALGORITHM} Credential={credential.access_key_id}/{day}, SignedHeaders={names}, Signature={signature}"
    return (*added, ("authorization", value))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _key(credential: AwsCredential, scope: Scope, day: str) -> bytes:
    key = _mac(f"AWS4{credential.secret_access_key}".encode(), day)
    for part in (scope.region, scope.service, "aws4_request"):
        key = _mac(key, part)
    return key
