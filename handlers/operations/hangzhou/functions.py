"""Calls one of our functions and waits for its answer, by Function Compute's own API (version 3)."""

from __future__ import annotations

import os

from handlers.clouds.aliyun_api import AliyunApi
from handlers.operations.hangzhou.api import VERSIONS

INVOKE_S_MAX = 900.0
ERROR_HEADER = "x-fc-error-type"


class FunctionFailed(RuntimeError):
    """The function, or the call of it, failed; the message names the function and the status."""


def invoke(function: str, payload: bytes) -> bytes:
    """The function's answer.

    Raises:
        FunctionFailed: the function raised, or Function Compute refused.
        SecretError: nobody answers, or we have no identity.
    """
    path = f"/{VERSIONS['fcv3']}/functions/{function}/invocations"
    answer = AliyunApi("fcv3", VERSIONS["fcv3"], os.environ).post(
        path, "InvokeFunction", payload, timeout_s=INVOKE_S_MAX
    )
    if answer.status != 200 or ERROR_HEADER in answer.headers:
        raise FunctionFailed(f"{function} failed (status {answer.status})")
    return answer.body
