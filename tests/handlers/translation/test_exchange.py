"""The façade as the provider room drives it: pass-through and re-encoding, streams and whole bodies."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from handlers.errors import ClientError, FailureClass, InvalidRequest, Unprocessable
from handlers.translation.canonical.attempt import UpstreamTarget
from tests.handlers.translation.driving import JSON_HEAD, SSE_HEAD, attempt, play, sent

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    fields = {
        "id": "c-1",
        "model": "model-1-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


USAGE_CHUNK = (
    b"data: " + msgspec.json.encode({"id": "c-1", "model": "model-1-2026", "choices": [], "usage": USAGE}) + b"\n\n"
)
DONE = b"data: [DONE]\n\n"
STREAM = (
    chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hello"}) + chunk({}, "stop") + USAGE_CHUNK + DONE
)


def test_a_stream_passes_through_with_the_public_name_and_without_the_unasked_usage() -> None:
    translation = attempt()
    assert sent(translation)["model"] == "model-1"
    assert sent(translation)["stream_options"] == {"include_usage": True}
    outputs = play(translation, *(STREAM[:200], STREAM[200:]))
    data = b"".join(output.data for output in outputs)
    assert data == STREAM.replace(USAGE_CHUNK, b"").replace(DONE, b"").replace(b"model-1-2026", b"author/model")
    assert outputs[-1].final == DONE
    assert [output.ended for output in outputs] == [False, True]
    outcome = translation.outcome
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (10, 2)
    assert outcome.failure is None
    assert outcome.finish_reason == "stop"
    assert outcome.upstream_model == "model-1-2026"
    assert outcome.semantic


def test_usage_is_forwarded_to_those_who_asked() -> None:
    translation = attempt({"stream_options": {"include_usage": True}})
    data = b"".join(output.data for output in play(translation, STREAM))
    assert data.count(b'"usage":{') == 1


def test_only_content_is_semantic() -> None:
    translation = attempt()
    translation.start(200, SSE_HEAD)
    assert not translation.receive_data(b": keep-alive\n\n").semantic
    assert not translation.receive_data(chunk({"role": "assistant", "content": ""})).semantic
    assert translation.receive_data(chunk({"content": "Hello"})).semantic
    assert not translation.receive_data(chunk({}, "stop")).semantic


def test_truncation_before_content_says_nothing_and_after_it_says_error() -> None:
    quiet = attempt()
    assert play(quiet, chunk({"role": "assistant", "content": ""}))[-1].final == b""
    assert quiet.outcome.failure is FailureClass.TRUNCATED
    loud = attempt()
    final = play(loud, chunk({"content": "Hello"}))[-1].final
    assert loud.outcome.failure is FailureClass.TRUNCATED
    assert b'"finish_reason":"error"' in final
    assert b"[DONE]" not in final
    assert loud.outcome.usage.estimated
    assert loud.outcome.usage.output > 0


def test_a_transport_failure_ends_like_a_truncation_and_only_once() -> None:
    translation = attempt()
    translation.start(200, SSE_HEAD)
    translation.receive_data(chunk({"content": "Hello"}))
    first = translation.fail(FailureClass.TIMEOUT)
    assert first.ended
    assert b'"error"' in first.final
    assert translation.fail(FailureClass.CONNECT).final == b""
    assert translation.receive_eof().final == b""
    assert translation.receive_data(STREAM).data == b""
    assert translation.outcome.failure is FailureClass.TIMEOUT
    assert translation.outcome.ignored_bytes == len(STREAM)


def test_upstream_words_about_an_error_never_reach_the_client() -> None:
    secret = "the secret words of an upstream"
    translation = attempt()
    error = msgspec.json.encode({"error": {"message": secret, "type": "server_error"}})
    outputs = play(translation, chunk({"content": "Hello"}), b"data: " + error + b"\n\n")
    assert secret.encode() not in b"".join(output.data + output.final for output in outputs)
    assert translation.outcome.failure is FailureClass.SERVER_ERROR
    refused = attempt()
    outputs = play(refused, error, status=500, head=JSON_HEAD)
    assert secret.encode() not in b"".join(output.data + output.final for output in outputs)
    assert secret not in repr(refused.outcome)


def test_an_error_answer_is_classified_with_its_patience() -> None:
    translation = attempt()
    play(translation, b'{"error":{"code":"rate_limit_exceeded"}}', status=429, head=JSON_HEAD | {"retry-after": "7"})
    assert translation.outcome.failure is FailureClass.RATE_LIMITED
    assert translation.outcome.retry_after_ms == 7_000
    assert translation.outcome.upstream_status == 429


@pytest.mark.claim("A53")
@pytest.mark.parametrize("answer", [b"", b"<html>no</html>", b"null", b"[]", b"{}", b"\xff\xfe", b'{"choices":[]}'])
def test_a53_a_successful_answer_without_an_answer_is_a_failure(answer: bytes) -> None:
    for stream in (True, False):
        translation = attempt(stream=stream)
        outputs = play(translation, answer, head=JSON_HEAD)
        assert outputs[-1].ended
        assert outputs[-1].final == b""
        assert translation.outcome.failure in {
            FailureClass.MALFORMED,
            FailureClass.TRUNCATED,
            FailureClass.SERVER_ERROR,
        }


def test_whole_bodies_pass_through() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = msgspec.json.encode(
        {"id": "c-1", "model": "model-1-2026", "choices": [choice], "usage": USAGE, "odd": [1.50]}
    )
    translation = attempt(stream=False, upstream_stream=False)
    assert sent(translation)["stream"] is False
    outputs = play(translation, body[:50], body[50:], head=JSON_HEAD)
    assert outputs[-1].final == body.replace(b"model-1-2026", b"author/model")
    assert translation.content_type == "application/json"


def test_a_whole_answer_is_assembled_from_a_stream() -> None:
    translation = attempt(stream=False, upstream_stream=True)
    assert translation.upstream.streams
    outputs = play(translation, STREAM)
    assert all(output.data == b"" for output in outputs)
    whole = msgspec.json.decode(outputs[-1].final)
    assert whole["choices"][0]["message"]["content"] == "Hello"
    assert whole["usage"]["total_tokens"] == 12
    assert whole["model"] == "author/model"
    assert "provider" not in whole  # the provider's own answer would not say it either


def test_a_provider_that_ignores_the_wish_for_a_stream_is_understood() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = msgspec.json.encode({"id": "c-1", "model": "model-1", "choices": [choice], "usage": USAGE})
    outputs = play(attempt(), body, head=JSON_HEAD)
    assert b"Hello" in b"".join(output.data for output in outputs)
    assert outputs[-1].final == DONE


def test_re_encoding_crosses_formats() -> None:
    translation = attempt(dialect="anthropic_messages")
    assert translation.upstream.path == "/chat/completions"
    data = b"".join(output.data + output.final for output in play(translation, STREAM))
    names = [line.removeprefix(b"event: ").decode() for line in data.split(b"\n") if line.startswith(b"event: ")]
    assert names == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_cap_that_the_balance_affords_is_put_on() -> None:
    assert sent(attempt(output_tokens_max=50))["max_tokens"] == 50
    assert sent(attempt({"max_tokens": 20}, output_tokens_max=50))["max_tokens"] == 20
    assert sent(attempt({"max_tokens": 90}, output_tokens_max=50, dialect="anthropic_messages"))["max_tokens"] == 50
    named = attempt({"max_tokens": 20}, quirks=frozenset({"max_completion_tokens"}))
    assert sent(named)["max_completion_tokens"] == 20
    assert "max_tokens" not in sent(named)


def test_fields_that_steer_the_gateway_go_no_further_and_state_is_not_kept() -> None:
    translation = attempt({"models": ["a"], "provider": {"order": ["x"]}, "store": True, "user": "anna", "seed": None})
    body = sent(translation)
    assert not {"models", "provider", "store", "seed"} & set(body)
    assert "anna" not in translation.upstream.body.decode()
    assert "dropped:store" in translation.warnings


def test_parameters_that_the_endpoint_lacks_are_named() -> None:
    upstream = UpstreamTarget("openai_chat", "model-1", "maker", parameters=frozenset({"temperature"}))
    translation = attempt({"temperature": 0.5, "logit_bias": {"5": 1}}, upstream=upstream)
    assert translation.warnings == ("dropped:logit_bias",)
    assert "logit_bias" not in sent(translation)


@pytest.mark.claim("A37", "A39")
@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 10**6}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"stop": ["x"] * 100_000}, "stop"),
        ({"tools": [{"type": "function", "function": {"name": 1}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
    ],
)
def test_a37_a39_bad_fields_are_refused_by_name(change: dict[str, Any], param: str) -> None:
    for wire_format in ("openai_chat", "anthropic_messages"):
        with pytest.raises(InvalidRequest) as refused:
            attempt(change, wire_format=wire_format)
        assert refused.value.param == param
        assert param in refused.value.message


def test_a_bad_address_deep_in_a_message_is_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}
    with pytest.raises(InvalidRequest) as refused:
        attempt({"messages": [{"role": "user", "content": [image]}]}, wire_format="anthropic_messages")
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_objects_kept_by_a_provider_are_refused_on_shared_credentials() -> None:
    block = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    body = {"messages": [{"role": "user", "content": [block]}]}
    with pytest.raises(ClientError) as refused:
        attempt(body, dialect="anthropic_messages", wire_format="anthropic_messages")
    assert refused.value.param == "messages[0].content[0].source.file_id"
    assert sent(attempt(body, dialect="anthropic_messages", wire_format="anthropic_messages", stateless=False))


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(Unprocessable):
        attempt(wire_format="telepathy")


def test_no_representation_shows_content() -> None:
    translation = attempt({"messages": [{"role": "user", "content": "very private"}]})
    assert "very private" not in repr(translation.upstream)
    outputs = play(translation, STREAM)
    assert "Hello" not in repr(outputs)


@pytest.mark.slow
def test_passing_a_chunk_through_costs_at_most_four_microseconds() -> None:
    piece = chunk({"content": "hello"}).replace(b'"id":"c-1"', b'"id":"chatcmpl-%s"' % (b"x" * 110))
    assert 200 < len(piece) < 280
    best_us = 1e9
    for _ in range(7):
        translation = attempt()
        translation.start(200, SSE_HEAD)
        begun = time.process_time()
        for _ in range(10_000):
            translation.receive_data(piece)
        best_us = min(best_us, (time.process_time() - begun) / 10_000 * 1e6)
    assert best_us <= 4, best_us
