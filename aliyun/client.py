"""The signed clients of a deployment: Resource Orchestration Service (ROS), and KMS for the values of secrets.

Rules
    Every call is one POST with a form body, signed with ACS3-HMAC-SHA256. Calls that change something carry a client token, so a
    call whose answer was lost can be sent again with one effect. Throttling, 5xx and broken connections are retried with growing
    pauses; everything else is raised as `CloudError`, which says what to do.
    The region is always `cn-hangzhou`, in the request and in the endpoint.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from aliyun.settings import REGION
from handlers.clouds import acs3

ROS_ENDPOINT = "https://ros.aliyuncs.com"
KMS_ENDPOINT = f"https://kms.{REGION}.aliyuncs.com"
TIMEOUT_S = 30.0
ATTEMPTS = 5
RETRYABLE_CODES = frozenset({"Throttling", "Throttling.User", "Throttling.Api", "ServiceUnavailable", "InternalError"})
REMEDIES = {
    "InvalidAccessKeyId.NotFound": "the access key does not exist; check ALIBABA_CLOUD_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the access key's secret is wrong; check ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "InvalidTimeStamp.Expired": "this machine's clock is wrong by over 15 minutes; set it and try again",
    "Forbidden.RAM": "the deploying identity lacks a permission; grant it what the message names",
    "NoPermission": "the deploying identity lacks a permission; grant it what the message names",
    "StackValidationFailed": "the template or its parameters are wrong; run python -m aliyun check",
    "InvalidParameter": "a parameter of the call is wrong; the message names it",
    "ActionInProgress": "another deployment of this stack is under way; wait for it and try again",
    "StackExists": "a stack of this name exists outside this deployment; rename or remove it",
}


class CloudError(Exception):
    """The service refused; `code` is its error code, the message says what to do."""

    def __init__(self, action: str, code: str, message: str) -> None:
        remedy = REMEDIES.get(code, "see the message of the service")
        super().__init__(f"{action}: {code}: {message.strip() or 'no message'}\n  {remedy}")
        self.code = code


class Client:
    """Calls to one service in Hangzhou."""

    version = ""
    """Of its API."""

    def __init__(
        self,
        credentials: acs3.Credentials,
        *,
        endpoint: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._credentials = credentials
        self._http = httpx.Client(base_url=endpoint, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._host = self._http.base_url.netloc.decode()
        self._pause = pause

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """One call; values are text, numbers, booleans or lists of objects (`Parameters.1.ParameterKey`)."""
        body = acs3.encode_query(flatten({"RegionId": REGION, **parameters})).encode()
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = self._send(action, body)
            except httpx.TransportError as error:
                if last:
                    raise CloudError(action, "Unreachable", f"{type(error).__name__} at {self._host}") from error
            else:
                answer = _decode(response)
                if response.is_success:
                    return answer
                code = str(answer.get("Code", f"HTTP{response.status_code}"))
                if last or not (response.is_server_error or code in RETRYABLE_CODES):
                    raise CloudError(action, code, str(answer.get("Message", "")))
            self._pause(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _send(self, action: str, body: bytes) -> httpx.Response:
        request = acs3.Request(host=self._host, action=action, version=self.version, body=body, content_type=acs3.FORM)
        headers = acs3.sign(request, self._credentials, now=datetime.now(UTC), nonce=secrets.token_hex(16))
        return self._http.post("/", content=body, headers={**headers, "accept": "application/json"})


class Ros(Client):
    """Resource Orchestration Service."""

    version = "2019-09-10"


class Kms(Client):
    """Key Management Service."""

    version = "2016-01-20"


def flatten(values: Mapping[str, Any]) -> dict[str, str]:
    """The services' form: lists become `Name.1.Key`, booleans `true` and `false`; None is left out."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, list):
            for index, item in enumerate(value, 1):
                nested = (
                    {f"{name}.{index}.{key}": inner for key, inner in item.items()}
                    if isinstance(item, dict)
                    else {f"{name}.{index}": item}
                )
                flat |= flatten(nested)
        elif isinstance(value, bool):
            flat[name] = "true" if value else "false"
        elif value is not None:
            flat[name] = str(value)
    return flat


def _decode(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
