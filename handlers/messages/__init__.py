"""What errors say where the region is china: Chinese first, from zh.toml by the error's code, then our English sentence.

The English sentence stands beside the code that raises it and names the field; the Chinese one says what happened and the
remedy. Only whoever renders a refusal asks here, so a request that succeeds pays nothing. An error's code is the same in both.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

from handlers.errors import FAILURES, TheRouterError
from handlers.settings import Deployment

FILE = Path(__file__).with_name("zh.toml")
OTHER_CODE = "internal_error"


@cache
def chinese() -> dict[str, str]:
    """Code -> sentence."""
    with FILE.open("rb") as file:
        return {str(code): str(sentence) for code, sentence in tomllib.load(file).items()}


@cache
def speaks_chinese() -> bool:
    """Whether this process runs in the china region, which is fixed at deployment."""
    return Deployment.parse(os.environ).region == "china"


def in_chinese(code: str, http_status: int, message: str) -> str:
    """Both languages; a code without a sentence of its own gets that of its status."""
    sentences = chinese()
    sentence = sentences.get(code) or sentences.get(_BY_STATUS.get(http_status, OTHER_CODE)) or sentences[OTHER_CODE]
    return f"{sentence} ({message})"


def told(error: TheRouterError) -> str:
    """The error's message in the words of this process's region."""
    if not speaks_chinese():
        return error.message
    return in_chinese(error.code, error.http_status, error.message)


def speak_of_failures() -> None:
    """Where the region is china: put both languages into the table that formats of answers read. Once, at the start."""
    if not speaks_chinese():
        return
    for failure, rule in FAILURES.items():
        FAILURES[failure] = rule._replace(message=in_chinese(rule.code, rule.http_status, rule.message))


_BY_STATUS = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    409: "conflict",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    502: "provider_unavailable",
    503: "temporarily_unavailable",
}
