"""Secrets from Alibaba Cloud KMS in Hangzhou: the mirror of aws.py.

Identity, the first that is there: an access key in the environment (Function Compute sets one), the pod's service account (RRSA:
its token is exchanged for temporary keys). The endpoints can be set with ALIBABA_CLOUD_KMS_ENDPOINT and
ALIBABA_CLOUD_STS_ENDPOINT.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from handlers.clouds import acs3
from handlers.clouds.http import send
from handlers.clouds.secrets import Secret, SecretError, store_name

KMS_ENDPOINT = "https://kms.cn-hangzhou.aliyuncs.com"
KMS_VERSION = "2016-01-20"
STS_ENDPOINT = "https://sts-vpc.cn-hangzhou.aliyuncs.com"
STS_VERSION = "2015-04-01"


class _SecretAnswer(msgspec.Struct, frozen=True):
    data: str = msgspec.field(name="SecretData")


class _StsCredentials(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: str
    access_key_secret: str
    security_token: str


class _StsAnswer(msgspec.Struct, frozen=True):
    credentials: _StsCredentials = msgspec.field(name="Credentials")


class AliyunSecretStore:
    """Reads `therouter/<environment>/<kind>/<subject>` from KMS secrets in Hangzhou."""

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._variables = variables
        self._endpoint = variables.get("ALIBABA_CLOUD_KMS_ENDPOINT", KMS_ENDPOINT).rstrip("/")
        self._identity: acs3.Credentials | None = None

    def get(self, name: str) -> Secret:
        """The current version of a secret; SecretError when it is missing or KMS does not answer."""
        if self._identity is None:
            self._identity = find_identity(self._variables)
        request = acs3.Request(
            host=urlsplit(self._endpoint).netloc,
            action="GetSecretValue",
            version=KMS_VERSION,
            body=acs3.encode_query({"SecretName": store_name(self._environment, name)}).encode(),
            content_type=acs3.FORM,
        )
        headers = acs3.sign(request, self._identity, now=datetime.now(UTC), nonce=secrets.token_hex(16))
        answer = send("POST", f"{self._endpoint}/", {**headers, "accept": "application/json"}, request.body)
        if answer.status != 200:
            self._identity = None
            raise SecretError(f"the secret {name} cannot be read from KMS (status {answer.status})")
        try:
            value = msgspec.json.decode(answer.body, type=_SecretAnswer).data.encode()
        except msgspec.MsgspecError:
            raise SecretError(f"the answer of KMS about {name} cannot be read") from None
        if not value:
            raise SecretError(f"the secret {name} is empty in KMS: put a value")
        return Secret(value)


def find_identity(variables: Mapping[str, str]) -> acs3.Credentials:
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
    form = {
        "Action": "AssumeRoleWithOIDC",
        "Format": "JSON",
        "OIDCProviderArn": provider,
        "OIDCToken": Path(token_file).read_text().strip(),
        "RoleArn": role,
        "RoleSessionName": "therouter",
        "SignatureNonce": secrets.token_hex(16),
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Version": STS_VERSION,
    }
    endpoint = variables.get("ALIBABA_CLOUD_STS_ENDPOINT", STS_ENDPOINT).rstrip("/")
    headers = {"content-type": acs3.FORM, "accept": "application/json"}
    answer = send("POST", f"{endpoint}/", headers, acs3.encode_query(form).encode())
    try:
        given = msgspec.json.decode(answer.body, type=_StsAnswer).credentials
    except msgspec.MsgspecError:
        raise SecretError(f"RRSA gave no identity (status {answer.status}): check the role's trust policy") from None
    return acs3.Credentials(given.access_key_id, given.access_key_secret, given.security_token)
