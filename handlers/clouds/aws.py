"""Secrets from AWS Secrets Manager, by a client of our own.

A process on the byte path starts in milliseconds and stays small; the usual SDK costs it 0.6 seconds and 40 MiB. One
operation is needed, and the tests hold its signature against that SDK's.

Identity, the first that is there: static keys in the environment (functions; the stand-in of one machine), the container's
credential endpoint (EKS Pod Identity). The endpoint of the store can be set with AWS_ENDPOINT_URL_SECRETS_MANAGER.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from handlers.clouds.http import Answer, send
from handlers.clouds.secrets import Secret, SecretError, SecretMissing, Stage, store_name

SERVICE = "secretsmanager"
REGION = "us-east-2"
PLACEHOLDER_PREFIX = b'{"placeholder":'
_OURS = re.compile(rf"([a-z0-9-]+\.)+{REGION}(\.[a-z]+)*\.amazonaws\.com|127\.0\.0\.1|::1|localhost")
LABELS = {Stage.CURRENT: "AWSCURRENT", Stage.PREVIOUS: "AWSPREVIOUS", Stage.PENDING: "AWSPENDING"}
NOT_FOUND = b"ResourceNotFoundException"
_CONTAINER_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "127.0.0.1", "::1", "localhost"})


class Identity(msgspec.Struct, frozen=True):
    """Who we are for AWS."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "Identity(...)"


class _ContainerAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str = ""


class _SecretAnswer(msgspec.Struct, frozen=True):
    text: str | None = msgspec.field(default=None, name="SecretString")
    binary: bytes | None = msgspec.field(default=None, name="SecretBinary")


def is_placeholder(value: bytes) -> bool:
    """Whether a value is what the deployment put into a new container: never a secret."""
    return value.startswith(PLACEHOLDER_PREFIX)


class AwsSecretStore:
    """Reads `therouter/<environment>/<kind>/<subject>` from Secrets Manager in this region of ours."""

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._variables = variables
        self._endpoint = variables.get(
            "AWS_ENDPOINT_URL_SECRETS_MANAGER", f"https://{SERVICE}.{REGION}.amazonaws.com"
        ).rstrip("/")
        if not _OURS.fullmatch(urlsplit(self._endpoint).hostname or ""):
            raise SecretError(
                f"AWS_ENDPOINT_URL_SECRETS_MANAGER is no address in {REGION} or on this machine (region_restricted)"
            )
        self._identity: Identity | None = None

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        """One version of a secret; SecretError when it is missing or the store does not answer."""
        answer = self.call(
            "GetSecretValue", {"SecretId": store_name(self._environment, name), "VersionStage": LABELS[stage]}
        )
        if answer.status in {400, 404} and NOT_FOUND in answer.body[:512]:
            raise SecretMissing(f"there is no secret {name} in Secrets Manager ({stage} version): put a value")
        if answer.status != 200:
            raise SecretError(f"the secret {name} cannot be read from Secrets Manager (status {answer.status})")
        try:
            found = msgspec.json.decode(answer.body, type=_SecretAnswer)
        except msgspec.MsgspecError:
            raise SecretError(f"Secrets Manager's answer about {name} cannot be read") from None
        value = found.text.encode() if found.text is not None else found.binary
        if value and is_placeholder(value):
            raise SecretError(f"the secret {name} has no value in Secrets Manager yet: run therouter bootstrap aws")
        if not value:
            raise SecretError(f"the secret {name} is empty in Secrets Manager: put a value")
        return Secret(value)

    def call(self, operation: str, members: Mapping[str, object]) -> Answer:
        """One operation of Secrets Manager; SecretError when nobody answers or we have no identity."""
        body = msgspec.json.encode(members)
        if self._identity is None:
            self._identity = find_identity(self._variables)
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": urlsplit(self._endpoint).netloc,
            "x-amz-target": f"{SERVICE}.{operation}",
        }
        signed = sign(headers, body, self._identity, datetime.now(UTC))
        answer = send("POST", f"{self._endpoint}/", signed, body)
        if answer.status in {400, 403} and b"Expired" in answer.body[:512]:
            self._identity = None
        return answer


def find_identity(variables: Mapping[str, str]) -> Identity:
    """Our credentials; SecretError when there are none."""
    key, secret = variables.get("AWS_ACCESS_KEY_ID", ""), variables.get("AWS_SECRET_ACCESS_KEY", "")
    if key and secret:
        return Identity(key, secret, variables.get("AWS_SESSION_TOKEN", ""))
    address = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if urlsplit(address).hostname not in _CONTAINER_HOSTS:
        raise SecretError("this process has no AWS identity: run it with Pod Identity, or set AWS_ACCESS_KEY_ID")
    token_file = variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
    headers = {"authorization": Path(token_file).read_text().strip()} if token_file else {}
    answer = send("GET", address, headers, b"")
    try:
        found = msgspec.json.decode(answer.body, type=_ContainerAnswer)
    except msgspec.MsgspecError:
        raise SecretError("the container's credential endpoint gave no identity") from None
    return Identity(found.access_key_id, found.secret_access_key, found.token)


def sign(headers: Mapping[str, str], body: bytes, identity: Identity, now: datetime) -> dict[str, str]:
    """The headers with AWS signature version 4, for a POST to `/` of Secrets Manager; names are lower case."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{REGION}/{SERVICE}/aws4_request"
    signed = {**headers, "x-amz-date": stamp}
    if identity.session_token:
        signed["x-amz-security-token"] = identity.session_token
    names = ";".join(sorted(signed))
    listed = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = f"POST\n/\n\n{listed}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{identity.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={identity.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
