"""Putting one object into a bucket of Alibaba Cloud's OSS in Hangzhou, signed with its signature version 4.

Theory of operation
    canonical request   method, /bucket/object, the query, `x-oss-*` headers and content-type as `name:value` lines, the names
                        of further signed headers (none), and the words UNSIGNED-PAYLOAD: TLS carries the body
    string to sign      the algorithm's name, the time, the scope (day/region/oss/aliyun_v4_request), SHA-256 of the request
    key                 HMAC of day, region, product and the closing word, one after the other, from "aliyun_v4" + secret
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlsplit

from handlers.clouds.acs3 import Credentials
from handlers.clouds.aliyun_api import REGION, endpoint, present_identity
from handlers.clouds.archive import ArchiveFailed
from handlers.clouds.http import send
from handlers.clouds.secrets import SecretError

ALGORITHM = "OSS4-HMAC-SHA256"
CLOSING = "aliyun_v4_request"
CONTENT_TYPE = "application/octet-stream"
ENDPOINT = f"https://oss-{REGION}-internal.aliyuncs.com"


class OssArchive:
    """A bucket whose retention policy is locked.

    Args:
        bucket: its name.
        variables: where the identity is, and for tests another endpoint on this machine.
    """

    def __init__(self, bucket: str, variables: Mapping[str, str]) -> None:
        self._bucket, self._variables = bucket, variables
        self._endpoint = endpoint(variables, "ALIBABA_CLOUD_OSS_ENDPOINT", ENDPOINT)

    def keep(self, name: str, content: bytes) -> None:
        """Put the object, if there is none; ArchiveFailed when OSS does not take it."""
        try:
            identity = present_identity(self._variables)
            headers = {"content-type": CONTENT_TYPE, "x-oss-forbid-overwrite": "true"}
            signed = sign("PUT", f"/{self._bucket}/{name}", headers, identity, now=datetime.now(UTC))
            parts = urlsplit(self._endpoint)
            answer = send("PUT", f"{parts.scheme}://{self._host(parts.netloc)}/{quote(name)}", signed, content)
        except SecretError:
            raise ArchiveFailed("OSS cannot be reached") from None
        if answer.status not in {200, 409}:  # 409: the object is there
            raise ArchiveFailed("OSS did not take the copy")

    def _host(self, netloc: str) -> str:
        return netloc if netloc.startswith("127.0.0.1") else f"{self._bucket}.{netloc}"


def sign(
    method: str, resource: str, headers: Mapping[str, str], identity: Credentials, *, now: datetime
) -> dict[str, str]:
    """The headers with the signature. `resource` is /bucket/object, and `headers` all that shall be signed."""
    time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    sent = {**headers, "x-oss-date": time, "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
    if identity.security_token:
        sent["x-oss-security-token"] = identity.security_token
    lines = "".join(f"{name}:{sent[name].strip()}\n" for name in sorted(sent))
    canonical = "\n".join((method, quote(resource), "", lines, "", "UNSIGNED-PAYLOAD"))
    scope = f"{day}/{REGION}/oss/{CLOSING}"
    text = "\n".join((ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = reduce(
        lambda key, part: hmac.digest(key, part.encode(), "sha256"),
        (day, REGION, "oss", CLOSING),
        f"aliyun_v4{identity.access_key_secret}".encode(),
    )
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        **sent,
        "authorization": f"{ALGORITHM} Credential={identity.access_key_id}/{scope}, Signature={signature}",
    }
