"""Function Compute's events and contexts in the form of Lambda's: the same `handler(event, context)`, unchanged.

    HTTP      an event as an ALB makes it
    timer     its payload, as a schedule's constant input is elsewhere
    monitor   a node's event in the words of the alarms function; an alarm's as it is

`adapt` wraps a handler for the built-in runtimes, which call `handler(event: bytes, context)`; `function_server` uses the same
translations where our image runs as a container. Temporary keys come with each invocation and go to `clouds.aliyun_api`; they are
never in an event.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from handlers.clouds.acs3 import Credentials
from handlers.clouds.aliyun_api import provide_identity

Handler = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a Lambda handler finds in its context, from Function Compute's."""

    aws_request_id: str
    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    function_version: str = "LATEST"
    deadline_s: float = field(default=0.0, repr=False)
    """In the time of `time.monotonic`."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the platform ends the invocation."""
        return max(0, round((self.deadline_s - time.monotonic()) * 1000))


def adapt(handler: Handler) -> Callable[[bytes | str, Any], Any]:
    """The handler as a built-in runtime calls it: an event in bytes, and the platform's own context object."""

    def invoke(event: bytes | str, context: Any) -> Any:
        given = context.credentials
        if given.access_key_id:
            provide_identity(Credentials(given.access_key_id, given.access_key_secret, given.security_token))
        function = context.function
        translated = Context(
            aws_request_id=context.request_id,
            function_name=function.name,
            memory_limit_in_mb=int(function.memory),
            invoked_function_arn=function_arn(context.region, context.account_id, function.name),
            deadline_s=time.monotonic() + float(function.timeout),
        )
        told = read_event(event)
        answer = handler(told, translated)
        return _to_http_trigger(answer) if "httpMethod" in told else answer

    return invoke


def read_event(raw: bytes | str) -> dict[str, Any]:
    """The event that a handler knows, from the one that the platform sends; ValueError when it is no JSON object."""
    event = _object(raw, "the event")
    if isinstance(event.get("requestContext"), dict) and "rawPath" in event:
        return _from_http_trigger(event)
    if "triggerName" in event and "payload" in event:
        return _payload(event["payload"])
    if event.get("product") == "ECS" and isinstance(event.get("content"), dict):
        return _node_event(event["content"])
    return event


def http_event(
    method: str, path: str, query: str, headers: Iterable[tuple[str, str]], body: bytes, *, request_id: str = ""
) -> dict[str, Any]:
    """A client's request as an ALB tells it: `path` and `query` as they were sent, each value of each header."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    parameters: dict[str, list[str]] = {}
    for name, _, value in pairs:
        parameters.setdefault(name, []).append(value)
    text, encoded = _as_text(body)
    return {
        "requestContext": {"requestId": request_id},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {name: several[-1] for name, several in parameters.items()},
        "multiValueQueryStringParameters": parameters,
        "headers": {name: several[-1] for name, several in values.items()},
        "multiValueHeaders": values,
        "body": text,
        "isBase64Encoded": encoded,
    }


def _from_http_trigger(event: Mapping[str, Any]) -> dict[str, Any]:
    """The HTTP trigger's event of the built-in runtimes: decoded parameters, one value for each header."""
    asked = event["requestContext"].get("http", {})
    body = str(event.get("body") or "")
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    return http_event(
        asked.get("method", "GET"),
        event["rawPath"],
        urlencode(event.get("queryParameters") or {}, quote_via=quote),
        (event.get("headers") or {}).items(),
        raw,
        request_id=event["requestContext"].get("requestId", ""),
    )


def _as_text(body: bytes) -> tuple[str, bool]:
    """A body in an event: as text, or as base64 when it is none."""
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _to_http_trigger(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An ALB's answer in the HTTP trigger's form, which takes one value for each header."""
    status, headers, body = read_answer(answer)
    text, encoded = _as_text(body)
    return {
        "statusCode": status,
        "headers": {name: ", ".join(values) for name, values in headers.items()},
        "isBase64Encoded": encoded,
        "body": text,
    }


def _payload(payload: object) -> dict[str, Any]:
    """A timer's payload; an empty one is an empty event."""
    return _object(str(payload), "the timer's payload") if payload else {}


def _object(raw: bytes | str, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ValueError(f"{what} is not a JSON object") from None


_ENDED = frozenset({"Deleted", "Stopped", "Released"})


def _node_event(content: Mapping[str, Any]) -> dict[str, Any]:
    """A monitor's event about a node, in the words of the alarms function."""
    state = "terminated" if content.get("state") in _ENDED else "running"
    return {"instance": str(content.get("resourceId", "")), "state": state}


def function_arn(region: str, account: str, name: str) -> str:
    """The name of a function in policies and logs."""
    return f"acs:fc:{region}:{account}:functions/{name}"


def read_answer(answer: Mapping[str, Any]) -> tuple[int, dict[str, list[str]], bytes]:
    """Status, headers and body of what a handler returns to an ALB."""
    headers: dict[str, list[str]] = {str(name): [str(value)] for name, value in (answer.get("headers") or {}).items()}
    headers |= {
        str(name): [str(value) for value in several]
        for name, several in (answer.get("multiValueHeaders") or {}).items()
    }
    for name in [name for name in headers if name.lower() == "content-length"]:
        del headers[name]
    body = str(answer.get("body") or "")
    return (
        int(answer["statusCode"]),
        headers,
        base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode(),
    )
