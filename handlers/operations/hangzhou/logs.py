"""One question to Simple Log Service: how many days a log keeps its lines. The service has a signature of its own (version 1)."""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

import msgspec

from handlers.clouds.acs3 import Credentials
from handlers.clouds.aliyun_api import REGION, endpoint, find_identity
from handlers.clouds.http import send
from handlers.operations.hangzhou.api import ApiRefused

API_VERSION = "0.6.0"


class _Logstore(msgspec.Struct, frozen=True):
    days: int = msgspec.field(name="ttl")


def retention_days(project: str, logstore: str) -> int:
    """The days of a log; ApiRefused or SecretError when it cannot be asked."""
    place = endpoint(os.environ, "ALIBABA_CLOUD_SLS_ENDPOINT", f"https://{project}.{REGION}.log.aliyuncs.com")
    path = f"/logstores/{logstore}"
    now = format_datetime(datetime.now(UTC), usegmt=True)
    host = urlsplit(place).netloc
    headers = sign(path, find_identity(os.environ), now=now)
    answer = send("GET", f"{place}{path}", {**headers, "host": host}, b"")
    if answer.status != 200:
        raise ApiRefused(f"sls GetLogStore was refused ({answer.status})")
    try:
        return msgspec.json.decode(answer.body, type=_Logstore).days
    except msgspec.MsgspecError:
        raise ApiRefused("sls GetLogStore answered in a shape that we do not know") from None


def sign(path: str, identity: Credentials, *, now: str) -> dict[str, str]:
    """The headers of a GET without a body: HMAC-SHA1 over method, date, the service's headers and the path."""
    special = {
        "x-log-apiversion": API_VERSION,
        "x-log-bodyrawsize": "0",
        "x-log-signaturemethod": "hmac-sha1",
        **({"x-acs-security-token": identity.security_token} if identity.security_token else {}),
    }
    signature = base64.b64encode(
        hmac.digest(identity.access_key_secret.encode(), text_to_sign(path, special, now).encode(), "sha1")
    ).decode()
    return {**special, "date": now, "authorization": f"LOG {identity.access_key_id}:{signature}"}


def text_to_sign(path: str, special: Mapping[str, str], now: str) -> str:
    """What is signed; there is neither a body digest nor a content type."""
    lines = "\n".join(f"{name}:{special[name]}" for name in sorted(special))
    return f"GET\n\n\n{now}\n{lines}\n{path}"
