"""Function Compute's events become the events that handlers know, whatever they carry."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.clouds import aliyun_api
from handlers.clouds.alb import read_body
from handlers.clouds.function_compute import Context, adapt, http_event, read_answer, read_event


@pytest.fixture(autouse=True)
def _nothing_provided() -> Iterator[None]:
    yield
    aliyun_api._provided.clear()


def platform_context(access_key_id: str = "STS.k") -> Any:
    """The context object of a built-in runtime."""
    return SimpleNamespace(
        request_id="1-64f6cd87",
        region="cn-hangzhou",
        account_id="1234",
        credentials=SimpleNamespace(access_key_id=access_key_id, access_key_secret="made-up", security_token="t"),
        function=SimpleNamespace(name="therouter-production-admin", memory=512, timeout=29),
    )


def http_trigger(**changed: Any) -> bytes:
    """The HTTP trigger's event, in the vendor's documented form."""
    event = {
        "version": "v1",
        "rawPath": "/admin/keys",
        "body": '{"name":"ci"}',
        "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json"},
        "queryParameters": {"limit": "10"},
        "requestContext": {
            "accountId": "1234",
            "domainName": "x.cn-hangzhou.fcapp.run",
            "http": {"method": "POST", "path": "/admin/keys", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "1-64f6cd87",
            "time": "2026-11-23T06:41:11Z",
        },
    }
    return msgspec.json.encode({**event, **changed})


def test_an_http_event_is_what_an_alb_would_send() -> None:
    assert read_event(http_trigger()) == {
        "requestContext": {"requestId": "1-64f6cd87"},
        "httpMethod": "POST",
        "path": "/admin/keys",
        "queryStringParameters": {"limit": "10"},
        "multiValueQueryStringParameters": {"limit": ["10"]},
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]},
        "body": '{"name":"ci"}',
        "isBase64Encoded": False,
    }


def test_a_binary_body_stays_byte_for_byte() -> None:
    body = bytes(range(256))
    event = read_event(http_trigger(body=base64.b64encode(body).decode(), isBase64Encoded=True))
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body


def test_decoded_parameters_are_escaped_again_as_an_alb_leaves_them() -> None:
    event = read_event(http_trigger(queryParameters={"q": "a b&c=杭"}))
    assert event["queryStringParameters"] == {"q": "a%20b%26c%3D%E6%9D%AD"}


def test_a_timers_payload_is_the_event() -> None:
    timer = {"triggerTime": "2026-11-23T04:00:00Z", "triggerName": "purge", "payload": '{"retention_days_default":90}'}
    assert read_event(msgspec.json.encode(timer)) == {"retention_days_default": 90}


def test_a_timer_without_payload_is_an_empty_event() -> None:
    assert read_event(b'{"triggerTime":"t","triggerName":"reap","payload":""}') == {}


@pytest.mark.parametrize(
    ("state", "word"), [("Running", "running"), ("Stopped", "terminated"), ("Deleted", "terminated")]
)
def test_a_nodes_event_is_told_in_the_alarms_functions_words(state: str, word: str) -> None:
    event = {"product": "ECS", "name": "Instance:StateChange", "content": {"resourceId": "i-1", "state": state}}
    assert read_event(msgspec.json.encode(event)) == {"instance": "i-1", "state": word}


def test_any_other_event_is_left_alone() -> None:
    assert read_event('{"alertName":"unresponsive"}') == {"alertName": "unresponsive"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff", b'{"triggerName":"x","payload":"[1]"}', b'{"a":NaN}'])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="is not a JSON object"):
        read_event(raw)


def test_the_context_has_what_a_lambda_handler_reads() -> None:
    seen: list[Context] = []
    adapt(lambda _event, context: seen.append(context))(b"{}", platform_context())
    (context,) = seen
    assert context.aws_request_id == "1-64f6cd87"
    assert context.function_name == "therouter-production-admin"
    assert context.memory_limit_in_mb == 512
    assert context.invoked_function_arn == "acs:fc:cn-hangzhou:1234:functions/therouter-production-admin"
    assert 28_000 < context.get_remaining_time_in_millis() <= 29_000


def test_the_invocations_keys_go_to_the_secret_store_and_nowhere_else() -> None:
    seen: list[Any] = []

    def handler(event: Any, context: Any) -> dict[str, Any]:
        seen.append((event, repr(context)))
        return {"statusCode": 204}

    adapt(handler)(http_trigger(), platform_context())
    assert aliyun_api._provided[-1].access_key_id == "STS.k"
    assert "made-up" not in repr(seen)


def test_an_invocation_without_keys_provides_none() -> None:
    adapt(lambda _event, _context: None)(b"{}", platform_context(access_key_id=""))
    assert aliyun_api._provided == []


def test_an_answer_keeps_each_value_of_a_header() -> None:
    answer = {
        "statusCode": "201",
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
        "headers": {"x": 1, "Content-Length": 9},
    }
    assert read_answer(answer) == (201, {"x": ["1"], "set-cookie": ["a=1", "b=2"]}, b"")


def test_a_binary_answer_is_decoded() -> None:
    answer = {"statusCode": 200, "body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}
    assert read_answer(answer)[2] == b"\x00\xff"


def test_an_answer_goes_back_in_the_triggers_form() -> None:
    answer = {"statusCode": 200, "multiValueHeaders": {"vary": ["a", "b"]}, "body": "aGk=", "isBase64Encoded": True}
    told = adapt(lambda _event, _context: answer)(http_trigger(), platform_context())
    assert told == {"statusCode": 200, "headers": {"vary": "a, b"}, "isBase64Encoded": False, "body": "hi"}


def test_a_jobs_answer_is_left_as_it_is() -> None:
    assert adapt(lambda _event, _context: {"rows": 3})(b"{}", platform_context()) == {"rows": 3}


headers = st.lists(st.tuples(st.from_regex(r"[A-Za-z][A-Za-z-]{0,9}", fullmatch=True), st.text("abc ,;=", max_size=9)))


@given(body=st.binary(max_size=200), headers=headers)
def test_no_byte_and_no_header_value_is_lost(body: bytes, headers: list[tuple[str, str]]) -> None:
    event = http_event("POST", "/admin/x", "a=1&b=%20&a=2", headers, body)
    assert read_body(event, 1_000) == body
    assert sorted((name.lower(), value) for name, value in headers) == sorted(
        (name, value) for name, values in event["multiValueHeaders"].items() for value in values
    )
    assert event["queryStringParameters"] == {"a": "2", "b": "%20"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["%20"]}, (
        "so that a name sent twice can be refused"
    )
