"""The receiving side of ACS3-HMAC-SHA256, read from the specification and not from our client: who signed these bytes?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

REQUIRED = {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}


def signer(headers: Mapping[str, str]) -> str:
    """The access key id that a request names, or empty."""
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    return _parts(rest).get("Credential", "") if algorithm == "ACS3-HMAC-SHA256" else ""


def refusal(headers: Mapping[str, str], body: bytes, secret: str, used_nonces: set[str]) -> str:
    """The service's error code for a POST that this secret did not sign, that is old or replayed; empty when it is right."""
    parts = _parts(headers["authorization"].partition(" ")[2])
    signed = parts["SignedHeaders"].split(";")
    if not set(signed) >= REQUIRED or signed != sorted(signed):
        return "IncompleteSignature"
    if headers["x-acs-content-sha256"] != hashlib.sha256(body).hexdigest():
        return "InvalidContentHash"
    sent = datetime.strptime(headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if abs((datetime.now(UTC) - sent).total_seconds()) > 900:
        return "InvalidTimeStamp.Expired"
    if headers["x-acs-signature-nonce"] in used_nonces:
        return "SignatureNonceUsed"
    used_nonces.add(headers["x-acs-signature-nonce"])
    lines = [
        headers.get(":method", "POST"),
        headers.get(":path", "/"),
        "",
        *(f"{name}:{headers[name]}" for name in signed),
        "",
        ";".join(signed),
    ]
    canonical = "\n".join([*lines, headers["x-acs-content-sha256"]])
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    right = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(right, parts["Signature"]) else "SignatureDoesNotMatch"


def _parts(text: str) -> dict[str, str]:
    return dict(piece.split("=", 1) for piece in text.split(",")) if text else {}
