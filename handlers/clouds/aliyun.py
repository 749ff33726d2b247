"""Secrets from Alibaba Cloud KMS in Hangzhou: the mirror of aws.py.

Identity, the first that is there: what Function Compute handed to this invocation (`provide_identity`), an access key in the
environment, the pod's service account (RRSA: its token is exchanged for temporary keys at STS). Temporary keys that have run
out are renewed, and the call is sent once more.

Rules
    This region's endpoints and no others: ALIBABA_CLOUD_KMS_ENDPOINT and ALIBABA_CLOUD_STS_ENDPOINT may name hosts in
    cn-hangzhou or this machine. Anything else is refused at start, before a packet leaves.
    What a deployment put into a new container is a placeholder and never a secret.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from handlers.clouds import acs3
from handlers.clouds.http import Answer, send
from handlers.clouds.secrets import Secret, SecretError, store_name

REGION = "cn-hangzhou"
KMS_ENDPOINT = f"https://kms.{REGION}.aliyuncs.com"
KMS_VERSION = "2016-01-20"
STS_ENDPOINT = f"https://sts.{REGION}.aliyuncs.com"
STS_VERSION = "2015-04-01"
PLACEHOLDER_PREFIX = b"placeholder:"
_OURS = re.compile(rf"([a-z0-9-]+\.)+{REGION}(\.[a-z]+)*\.aliyuncs\.com|127\.0\.0\.1|::1|localhost")
_RUN_OUT = frozenset(
    {"InvalidSecurityToken.Expired", "InvalidSecurityToken.MismatchWithAccessKey", "SecurityTokenExpired"}
)


class _SecretAnswer(msgspec.Struct, frozen=True):
    data: str = msgspec.field(name="SecretData")


class _Refusal(msgspec.Struct, frozen=True):
    code: str = msgspec.field(name="Code", default="")


class _StsCredentials(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: str
    access_key_secret: str
    security_token: str


class _StsAnswer(msgspec.Struct, frozen=True):
    credentials: _StsCredentials = msgspec.field(name="Credentials")


class AliyunSecretStore:
    """Reads `therouter/<environment>/<kind>/<subject>` from KMS secrets in Hangzhou.

    Raises SecretError when an endpoint lies outside the region.
    """

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._variables = variables
        self._endpoint = endpoint(variables, "ALIBABA_CLOUD_KMS_ENDPOINT", KMS_ENDPOINT)
        self._sts = endpoint(variables, "ALIBABA_CLOUD_STS_ENDPOINT", STS_ENDPOINT)
        self._identity: acs3.Credentials | None = None

    def get(self, name: str) -> Secret:
        """The current version of a secret; SecretError when it is missing or KMS does not answer."""
        answer = self._call("GetSecretValue", {"SecretName": store_name(self._environment, name)})
        if answer.status != 200:
            raise SecretError(f"the secret {name} cannot be read from KMS (status {answer.status})")
        try:
            value = msgspec.json.decode(answer.body, type=_SecretAnswer).data.encode()
        except msgspec.MsgspecError:
            raise SecretError(f"the answer of KMS about {name} cannot be read") from None
        if not value or value.startswith(PLACEHOLDER_PREFIX):
            raise SecretError(f"the secret {name} has no value in KMS yet: put one")
        return Secret(value)

    def _call(self, action: str, form: Mapping[str, str]) -> Answer:
        """One signed call; a second one with a new identity when the first identity has run out."""
        answer = self._send(action, form)
        if answer.status in {400, 401, 403} and _code(answer) in _RUN_OUT:
            self._identity = None
            answer = self._send(action, form)
        return answer

    def _send(self, action: str, form: Mapping[str, str]) -> Answer:
        # What an invocation was handed is newer than what we remember.
        self._identity = _provided[-1] if _provided else self._identity or find_identity(self._variables, self._sts)
        request = acs3.Request(
            host=urlsplit(self._endpoint).netloc,
            action=action,
            version=KMS_VERSION,
            body=acs3.encode_query(form).encode(),
            content_type=acs3.FORM,
        )
        headers = acs3.sign(request, self._identity, now=datetime.now(UTC), nonce=secrets.token_hex(16))
        return send("POST", f"{self._endpoint}/", {**headers, "accept": "application/json"}, request.body)


_provided: list[acs3.Credentials] = []


def provide_identity(credentials: acs3.Credentials) -> None:
    """Use these temporary keys from now on: Function Compute hands new ones to each invocation."""
    _provided[:] = [credentials]


def endpoint(variables: Mapping[str, str], name: str, default: str) -> str:
    """The address in a variable, or the default; SecretError when it lies outside the region."""
    address = variables.get(name, "").rstrip("/") or default
    if not _OURS.fullmatch(urlsplit(address).hostname or ""):
        raise SecretError(f"{name} is no address in {REGION} or on this machine (region_restricted)")
    return address


def find_identity(variables: Mapping[str, str], sts: str = STS_ENDPOINT) -> acs3.Credentials:
    """Our access key; SecretError when there is none."""
    key = variables.get("ALIBABA_CLOUD_ACCESS_KEY_ID", "")
    secret = variables.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")
    if key and secret:
        return acs3.Credentials(key, secret, variables.get("ALIBABA_CLOUD_SECURITY_TOKEN", ""))
    role = variables.get("ALIBABA_CLOUD_ROLE_ARN", "")
    provider = variables.get("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "")
    token_file = variables.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "")
    if not (role and provider and token_file):
        raise SecretError("this process has no Alibaba Cloud identity: run it with RRSA, or set an access key")
    try:
        token = Path(token_file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SecretError("the pod's identity token cannot be read: check ALIBABA_CLOUD_OIDC_TOKEN_FILE") from None
    return _assume_role(sts, role=role, provider=provider, token=token)


def _assume_role(sts: str, *, role: str, provider: str, token: str) -> acs3.Credentials:
    """Exchange the service account's token for temporary keys; the token itself proves who we are."""
    form = {
        "Action": "AssumeRoleWithOIDC",
        "Format": "JSON",
        "OIDCProviderArn": provider,
        "OIDCToken": token,
        "RoleArn": role,
        "RoleSessionName": "therouter",
        "SignatureNonce": secrets.token_hex(16),
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Version": STS_VERSION,
    }
    headers = {"content-type": acs3.FORM, "accept": "application/json"}
    answer = send("POST", f"{sts}/", headers, acs3.encode_query(form).encode())
    try:
        given = msgspec.json.decode(answer.body, type=_StsAnswer).credentials
    except msgspec.MsgspecError:
        raise SecretError(f"RRSA gave no identity (status {answer.status}): check the role's trust policy") from None
    return acs3.Credentials(given.access_key_id, given.access_key_secret, given.security_token)


def _code(answer: Answer) -> str:
    try:
        return msgspec.json.decode(answer.body, type=_Refusal).code
    except msgspec.MsgspecError:
        return ""
