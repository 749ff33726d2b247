"""Signed calls to Alibaba Cloud's APIs in Hangzhou, and who we are for them.

Identity, the first that is there: what Function Compute handed to this invocation (`provide_identity`), an access key in the
environment, the pod's service account (RRSA: its token is exchanged for temporary keys at STS). Temporary keys that have run
out are renewed, and the call is sent once more.

This region's endpoints and no others: an endpoint variable may name a host in cn-hangzhou or on this machine. Anything else is
refused at start, before a packet leaves.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from handlers.clouds import acs3
from handlers.clouds.http import TIMEOUT_S, Answer, send
from handlers.clouds.secrets import SecretError

REGION = "cn-hangzhou"
STS_ENDPOINT = f"https://sts.{REGION}.aliyuncs.com"
STS_VERSION = "2015-04-01"
SHORT_NAMED = frozenset({"dm", "ram", "ros"})
"""Products whose endpoint in Hangzhou is `<product>.aliyuncs.com`."""
_OURS = re.compile(
    rf"([a-z0-9-]+\.)+{REGION}(\.[a-z]+)*\.aliyuncs\.com|(oss-{REGION}-internal|dm|ram|ros)\.aliyuncs\.com|127\.0\.0\.1|::1|localhost"
)
_RUN_OUT = frozenset(
    {"InvalidSecurityToken.Expired", "InvalidSecurityToken.MismatchWithAccessKey", "SecurityTokenExpired"}
)
_JSON = {"accept": "application/json"}


class _Refusal(msgspec.Struct, frozen=True):
    code: str = msgspec.field(name="Code", default="")


class _StsCredentials(msgspec.Struct, frozen=True, rename="pascal"):
    access_key_id: str
    access_key_secret: str
    security_token: str


class _StsAnswer(msgspec.Struct, frozen=True):
    credentials: _StsCredentials = msgspec.field(name="Credentials")


class AliyunApi:
    """One product's API in Hangzhou, such as KMS 2016-01-20.

    Args:
        product: lower case, the first part of its host.
        version: of the API.
        variables: where the identity and other endpoints are (`ALIBABA_CLOUD_<PRODUCT>_ENDPOINT`).

    Raises:
        SecretError: an endpoint lies outside the region.
    """

    def __init__(self, product: str, version: str, variables: Mapping[str, str]) -> None:
        self._version = version
        self._variables = variables
        name = f"ALIBABA_CLOUD_{product.upper()}_ENDPOINT"
        host = product if product in SHORT_NAMED else f"{product}.{REGION}"
        self._endpoint = endpoint(variables, name, f"https://{host}.aliyuncs.com")
        self._sts = endpoint(variables, "ALIBABA_CLOUD_STS_ENDPOINT", STS_ENDPOINT)
        self._identity: acs3.Credentials | None = None

    def call(self, action: str, form: Mapping[str, str]) -> Answer:
        """One call, sent again with a new identity when the first has run out; SecretError when nobody answers."""
        answer = self._send(action, form)
        if answer.status in {400, 401, 403} and code_of(answer) in _RUN_OUT:
            self._identity = None
            answer = self._send(action, form)
        return answer

    def post(self, path: str, action: str, body: bytes, *, timeout_s: float) -> Answer:
        """One call of a product whose actions are paths; the body is JSON, and the call is sent once."""
        return self._sign_and_send("POST", path, action, body, "application/json", timeout_s)

    def get(self, path: str, action: str) -> Answer:
        """One reading call of a product whose actions are paths."""
        return self._sign_and_send("GET", path, action, b"", "", TIMEOUT_S)

    def _send(self, action: str, form: Mapping[str, str]) -> Answer:
        return self._sign_and_send("POST", "/", action, acs3.encode_query(form).encode(), acs3.FORM, TIMEOUT_S)

    def _sign_and_send(
        self, method: str, path: str, action: str, body: bytes, content_type: str, timeout_s: float
    ) -> Answer:
        # What an invocation was handed is newer than what we remember.
        self._identity = _provided[-1] if _provided else self._identity or find_identity(self._variables, self._sts)
        request = acs3.Request(
            host=urlsplit(self._endpoint).netloc,
            action=action,
            version=self._version,
            method=method,
            path=path,
            body=body,
            content_type=content_type,
        )
        headers = acs3.sign(request, self._identity, now=datetime.now(UTC), nonce=secrets.token_hex(16))
        return send(method, f"{self._endpoint}{path}", {**headers, **_JSON}, request.body, timeout_s)


_provided: list[acs3.Credentials] = []


def provide_identity(credentials: acs3.Credentials) -> None:
    """Use these temporary keys from now on: Function Compute hands new ones to each invocation."""
    _provided[:] = [credentials]


def present_identity(variables: Mapping[str, str]) -> acs3.Credentials:
    """Who we are now: what this invocation was handed, or what the environment says; SecretError when it is nobody."""
    return _provided[-1] if _provided else find_identity(variables)


def endpoint(variables: Mapping[str, str], name: str, default: str) -> str:
    """The address in a variable, or the default; SecretError when it lies outside the region."""
    address = variables.get(name, "").rstrip("/") or default
    if not _OURS.fullmatch(urlsplit(address).hostname or ""):
        raise SecretError(f"{name} is no address in {REGION} or on this machine (region_restricted)")
    return address


def code_of(answer: Answer) -> str:
    """The error code of a refusal, or empty."""
    try:
        return msgspec.json.decode(answer.body, type=_Refusal).code
    except msgspec.MsgspecError:
        return ""


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
    answer = send("POST", f"{sts}/", {"content-type": acs3.FORM, **_JSON}, acs3.encode_query(form).encode())
    try:
        given = msgspec.json.decode(answer.body, type=_StsAnswer).credentials
    except msgspec.MsgspecError:
        raise SecretError(f"RRSA gave no identity (status {answer.status}): check the role's trust policy") from None
    return acs3.Credentials(given.access_key_id, given.access_key_secret, given.security_token)
