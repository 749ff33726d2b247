"""The translation checklist for OpenAI, Azure and the many who speak OpenAI's format their own way, box by box."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass, InvalidRequest
from handlers.translation.canonical.attempt import Translation, UpstreamTarget
from handlers.translation.registry import ADAPTERS, DIALECTS, RELAYS
from tests.handlers.translation.driving import attempt, play, sent, told, told_events, told_json

NORMALISED = frozenset({"normalise_answers"})
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def through(body: dict[str, Any] | None = None, *quirks: str, **changes: Any) -> Translation:
    return attempt(body, quirks=frozenset(quirks), **changes)


def line(fields: Any, ending: str = "\n\n") -> bytes:
    return b"data: " + msgspec.json.encode(fields) + ending.encode()


def chunk(delta: Any, finish: Any = None, **extra: Any) -> bytes:
    return line({"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | extra)


def content(events: list[dict[str, Any]]) -> str:
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])


DONE = b"data: [DONE]\n\n"
END = chunk({}, "stop") + line({"choices": [], "usage": USAGE}) + DONE


# OpenAI


def test_usage_is_always_asked_for_and_shown_only_to_those_who_want_it() -> None:
    assert sent(through())["stream_options"] == {"include_usage": True}
    for asked, shown in (({}, 0), ({"stream_options": {"include_usage": True}}, 1), ({"usage": {"include": True}}, 1)):
        for quirks in ((), ("normalise_answers",)):
            events = told_events(through(asked, *quirks), chunk({"content": "a"}), END)
            assert sum(not event["choices"] for event in events) == shown


def test_the_output_cap_goes_by_the_name_that_the_model_knows() -> None:
    assert sent(through({"max_completion_tokens": 5}))["max_tokens"] == 5
    assert sent(through({"max_tokens": 5}, "max_completion_tokens"))["max_completion_tokens"] == 5


def test_parameters_a_model_refuses_are_dropped_by_its_row_and_named() -> None:
    upstream = msgspec.structs.replace(_target(), parameters=frozenset({"max_tokens", "tools"}))
    translation = through({"temperature": 0.5, "seed": 1}, upstream=upstream)
    assert not {"temperature", "seed"} & set(sent(translation))
    assert set(translation.warnings) == {"dropped:temperature", "dropped:seed"}


def _target() -> UpstreamTarget:
    return UpstreamTarget("openai_chat", "model-1", "maker")


def test_unknown_fields_pass_and_nulls_do_not() -> None:
    body = sent(through({"novel_field": {"x": 1}, "encoding_format": None, "seed": None}))
    assert body["novel_field"] == {"x": 1}
    assert not {"encoding_format", "seed"} & set(body)


def test_dropped_unknown_fields_are_named_when_the_format_changes() -> None:
    assert "dropped:novel_field" in attempt({"novel_field": 1}, wire_format="anthropic_messages").warnings


def test_responses_become_one_choice_whatever_the_number_of_items() -> None:
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5j"},
        {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "one ", "annotations": []}]},
        {"type": "message", "id": "m2", "content": [{"type": "output_text", "text": "two", "annotations": []}]},
        {"type": "function_call", "id": "f1", "call_id": "k1", "name": "look", "arguments": "{}"},
    ]
    body = {"id": "resp_1", "status": "completed", "output": output, "usage": {"input_tokens": 4, "output_tokens": 2}}
    whole = told_json(attempt(wire_format="openai_responses", stream=False), msgspec.json.encode(body))
    assert len(whole["choices"]) == 1
    message = whole["choices"][0]["message"]
    assert message["content"] == "one two"
    assert message["tool_calls"][0]["id"] == "k1"
    assert message["reasoning_details"][0]["data"] == "ZW5j"


def test_incomplete_responses_are_billed_and_told() -> None:
    body = {
        "id": "resp_1",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [],
        "usage": {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6},
    }
    translation = attempt(wire_format="openai_responses", stream=False)
    assert told_json(translation, msgspec.json.encode(body))["choices"][0]["finish_reason"] == "length"
    assert translation.outcome.usage.completion_tokens == 2


def test_encrypted_reasoning_goes_back_to_its_maker_only() -> None:
    details = [{"type": "reasoning.encrypted", "id": "rs_1", "data": "ZW5j", "format": "openai-responses-v1"}]
    hi = {"role": "user", "content": "hi"}
    history = {"messages": [hi, {"role": "assistant", "content": "a", "reasoning_details": details}, hi]}
    items = sent(attempt(history, wire_format="openai_responses"))["input"]
    assert items[1] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ZW5j"}
    assert b"ZW5j" not in attempt(history, wire_format="anthropic_messages").upstream.body
    assert b"ZW5j" not in attempt(history, wire_format="gemini").upstream.body


def test_nothing_is_stored_and_stored_things_are_not_named() -> None:
    assert sent(attempt(dialect="openai_responses", wire_format="openai_responses"))["store"] is False
    for field in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}):
        with pytest.raises(InvalidRequest) as refused:
            attempt(field, dialect="openai_responses", wire_format="openai_responses")
        assert refused.value.param == next(iter(field))
    item = {"type": "item_reference", "id": "msg_1"}
    with pytest.raises(InvalidRequest):
        attempt({"input": [item]}, dialect="openai_responses", wire_format="openai_responses")


def test_reasoning_that_was_never_stored_is_left_out_with_the_ids_that_need_it() -> None:
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "k1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "k1", "output": "seen"},
    ]
    translation = attempt({"input": items}, dialect="openai_responses", wire_format="openai_responses")
    kept = sent(translation)["input"]
    assert [item.get("type") for item in kept] == [None, "function_call", "function_call_output"]
    assert "id" not in kept[1]
    assert translation.warnings == ("dropped:input.reasoning",)


# Azure


def test_azures_first_and_last_chunks_are_smoothed() -> None:
    first = line({"choices": [], "id": "", "model": "", "object": "", "prompt_filter_results": []})
    late = line({"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"start_offset": 1}}]})
    events = told_events(through({}, *NORMALISED), first, chunk({"content": "a"}), late, END)
    assert content(events) == "a"
    assert all(event["object"] == "chat.completion.chunk" for event in events)


def test_a_content_filter_400_is_a_policy_violation() -> None:
    body = {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
    translation = through()
    play(translation, msgspec.json.encode(body), status=400)
    assert translation.outcome.failure is FailureClass.CONTENT_POLICY


# DeepSeek, DashScope, MiniMax, Zhipu, Moonshot and the others


def test_reasoning_goes_back_where_it_must_and_stays_out_where_it_must_not() -> None:
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        {"role": "user", "content": "more"},
    ]
    body = {"input": "x", "messages": history}
    claude = {"messages": [history[0], {"role": "assistant", "content": [_thought(), _text()]}, history[2]]}
    kept = attempt(claude, dialect="anthropic_messages", quirks=frozenset({"reasoning_content_back"}))
    assert sent(kept)["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in sent(attempt(claude, dialect="anthropic_messages"))["messages"][1]
    assert sent(through(body))["messages"][1]["reasoning_content"] == "hm"


def _thought() -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": ""}


def _text() -> dict[str, Any]:
    return {"type": "text", "text": "a"}


def test_blank_lines_before_the_first_byte_are_no_answer() -> None:
    events = told_events(through(), b"\n\n\n", b": keep-alive\n\n", chunk({"content": "a"}), END)
    assert content(events) == "a"
    whole = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": USAGE}
    assert told_json(through(stream=False, upstream_stream=False), b"\n\n" + msgspec.json.encode(whole))["choices"]


def test_dashscopes_empty_ids_and_names_are_absent_ones() -> None:
    pieces = [
        {"index": 0, "id": "k1", "type": "function", "function": {"name": "", "arguments": ""}},
        {"index": 0, "id": "", "type": "function", "function": {"name": "look", "arguments": ""}},
        {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": '{"a":'}},
        {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "1}"}},
    ]
    stream = b"".join(chunk({"tool_calls": [piece]}) for piece in pieces)
    events = told_events(through({}, *NORMALISED), stream, chunk({}, "tool_calls"), DONE)
    calls = [e["choices"][0]["delta"]["tool_calls"][0] for e in events if "tool_calls" in e["choices"][0]["delta"]]
    assert calls[0] == {"index": 0, "id": "k1", "type": "function", "function": {"name": "look", "arguments": ""}}
    assert all("id" not in call and "name" not in call["function"] for call in calls[1:])
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'


@pytest.mark.parametrize(
    ("quirk", "expected"),
    [
        ("enable_thinking", {"enable_thinking": True, "thinking_budget": 2_000}),
        ("thinking_type", {"thinking": {"type": "enabled"}}),
        ("reasoning_object", {"reasoning": {"max_tokens": 2_000}}),
    ],
)
def test_the_control_of_reasoning_in_each_providers_words(quirk: str, expected: dict[str, Any]) -> None:
    body = sent(through({"reasoning": {"max_tokens": 2_000}}, quirk))
    assert {name: body.get(name) for name in expected} == expected
    assert "reasoning_effort" not in body


def test_minimax_hides_errors_in_successes() -> None:
    for code, failure in (
        (1002, FailureClass.RATE_LIMITED),
        (1004, FailureClass.UNAUTHENTICATED_UPSTREAM),
        (1008, FailureClass.QUOTA),
        (1026, FailureClass.CONTENT_POLICY),
        (1027, FailureClass.CONTENT_POLICY),
        (1039, FailureClass.RATE_LIMITED),
        (2013, FailureClass.INVALID_REQUEST),
    ):
        body = {"choices": None, "base_resp": {"status_code": code, "status_msg": "x"}}
        whole = through(stream=False, upstream_stream=False)
        play(whole, msgspec.json.encode(body))
        assert whole.outcome.failure is failure, code
        late = through()
        play(late, chunk({"content": "a"}), line(body))
        assert late.outcome.failure is failure, code


def test_a_base_resp_that_reports_success_is_none() -> None:
    events = told_events(through(), chunk({"content": "a"}, base_resp={"status_code": 0, "status_msg": ""}), END)
    assert content(events) == "a"


def test_finish_reasons_of_others() -> None:
    sensitive = told_events(through({}, *NORMALISED), chunk({"content": "a"}), chunk({}, "sensitive"), DONE)
    assert [e["choices"][0]["finish_reason"] for e in sensitive][-1] == "content_filter"
    broken = through()
    play(broken, chunk({"content": "a"}), chunk({}, "network_error"), DONE)
    assert broken.outcome.failure is FailureClass.SERVER_ERROR
    starved = through()
    play(starved, chunk({"content": "a"}), chunk({}, "insufficient_system_resource"), DONE)
    assert starved.outcome.failure is FailureClass.OVERLOADED


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3, "prompt_cache_hit_tokens": 4}, (6, 4, 3, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 3, "cached_tokens": 4}, (6, 4, 3, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}, (6, 4, 3, 0)),
        (
            {"prompt_tokens": 10, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}},
            (10, 0, 1, 2),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 18,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            (10, 0, 3, 5),
        ),
    ],
)
def test_cached_and_reasoning_tokens_in_each_providers_words(usage: dict[str, Any], expected: tuple[int, ...]) -> None:
    translation = through()
    play(translation, chunk({"content": "a"}), chunk({}, "stop"), line({"choices": [], "usage": usage}), DONE)
    told_ = translation.outcome.usage
    assert (told_.input, told_.cache_read, told_.output, told_.reasoning) == expected


def test_usage_in_odd_places_is_found() -> None:
    for odd in (
        chunk({}, "stop", usage=USAGE),
        line({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
        chunk({}, "stop", x_groq={"usage": USAGE}),
    ):
        translation = through()
        play(translation, chunk({"content": "a"}, usage=None), odd, DONE)
        assert translation.outcome.usage.prompt_tokens == 10
        assert not translation.outcome.usage.estimated


@pytest.mark.claim("A55")
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 10**18, "completion_tokens": 3},
        {"prompt_tokens": 10, "completion_tokens": 10**30},
        {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 99}},
    ],
)
def test_a55_absurd_usage_is_clamped_and_flagged(usage: dict[str, Any]) -> None:
    translation = through()
    play(translation, chunk({"content": "a"}), chunk({}, "stop"), line({"choices": [], "usage": usage}), DONE)
    told_ = translation.outcome.usage
    assert told_.estimated
    assert all(value >= 0 for value in msgspec.structs.astuple(told_))
    assert told_.prompt_tokens <= 10**9


@pytest.mark.claim("A51", "A53")
def test_every_way_of_being_almost_compatible_is_read() -> None:
    bare = line({"choices": [{"delta": {"content": "a"}}]})
    odd = [
        line({"choices": [{"delta": {"role": "assistant"}}]}) + bare + chunk({}, "stop"),  # no index, id, [DONE]
        bare + line({"choices": None, "usage": None}) + chunk({}, "stop") + DONE,
        bare + chunk({"content": ""}, "") + chunk({}, "stop") + DONE,
        (bare + chunk({}, "stop") + DONE).replace(b"\n", b"\r\n"),
        b'data: {"choices": [{"delta":\ndata:  {"content": "a"}}]}\n\n' + chunk({}, "stop") + DONE,
        bare + chunk({}, "stop") + chunk({}, "stop") + DONE,
        bare + DONE,
    ]
    for stream in odd:
        translation = through({}, *NORMALISED)
        events = told_events(translation, stream)
        assert content(events) == "a"
        assert translation.outcome.failure is None
        finishes = [
            e["choices"][0]["finish_reason"] for e in events if e["choices"] and e["choices"][0]["finish_reason"]
        ]
        assert finishes == ["stop"]


def test_mistrals_lists_and_bare_calls() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    call = {"id": "k1", "function": {"name": "look", "arguments": '{"a":1}'}}
    events = told_events(
        through({}, *NORMALISED),
        chunk({"content": [thinking]}),
        chunk({"content": [{"type": "text", "text": "a"}]}),
        chunk({"content": None, "tool_calls": [call]}, "tool_calls", usage=USAGE),
        DONE,
    )
    assert content(events) == "a"
    assert any(e["choices"][0]["delta"].get("reasoning_content") == "hm" for e in events)
    assert any(e["choices"][0]["delta"].get("tool_calls", [{}])[0].get("type") == "function" for e in events)
    asked = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_long", "name": "look", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_long", "content": "x"}]}
    history = {"messages": [{"role": "user", "content": "hi"}, asked, result]}
    body = sent(attempt(history, dialect="anthropic_messages", quirks=frozenset({"nine_character_tool_ids"})))
    short = body["messages"][1]["tool_calls"][0]["id"]
    assert len(short) == 9
    assert body["messages"][2]["tool_call_id"] == short


@pytest.mark.claim("A54")
def test_a54_tool_calls_without_bounds_are_cut_off() -> None:
    translation = through()
    translation.start(200, {"content-type": "text/event-stream"})
    piece = chunk({"tool_calls": [{"index": 0, "id": "k", "function": {"name": "f", "arguments": "x" * 1_000_000}}]})
    outputs = [translation.receive_data(piece) for _ in range(20)]
    assert outputs[-1].ended or translation.outcome.failure is FailureClass.MALFORMED
    for index in (-1, 10**6):
        bad = through()
        play(bad, chunk({"tool_calls": [{"index": index, "id": "k", "function": {"name": "f"}}]}))
        assert bad.outcome.failure is FailureClass.MALFORMED


@pytest.mark.claim("A59")
@pytest.mark.parametrize("quirks", [(), ("normalise_answers",)])
@pytest.mark.parametrize(
    "broken",
    [
        chunk({"content": "a"}).replace(b'"a"', b'"\xff\xfe"'),
        chunk({"content": "a"}, p="pad").replace(b"pad", b"\xff"),
        chunk({"content": "a"}).replace(b'"model"', b'"choices":[],"model"'),
    ],
)
def test_a59_bytes_that_are_no_text_and_keys_that_come_twice_are_malformed(
    broken: bytes, quirks: tuple[str, ...]
) -> None:
    translation = through({}, *quirks)
    outputs = play(translation, broken)
    assert translation.outcome.failure is FailureClass.MALFORMED
    assert b"".join(output.data for output in outputs) == b""


def test_one_finish_reason_for_each_choice() -> None:
    both = [{"index": n, "delta": {"content": "a"}, "finish_reason": None} for n in (0, 1)]
    ends: list[dict[str, Any]] = [{"index": n, "delta": {}, "finish_reason": "stop"} for n in (0, 1)]
    stream = line({"choices": both}) + line({"choices": ends}) + line({"choices": ends}) + DONE
    events = told_events(through({"n": 2}, *NORMALISED), stream)
    finishes = [c["index"] for e in events for c in e["choices"] if c["finish_reason"]]
    assert finishes == [0, 1]


def test_every_pair_of_dialect_and_wire_format_makes_a_request() -> None:
    for dialect in DIALECTS:
        for wire_format in ADAPTERS:
            translation = attempt(dialect=dialect, wire_format=wire_format)
            assert translation.upstream.body
            assert sent(translation)
    assert set(RELAYS) <= {(dialect, wire_format) for dialect in DIALECTS for wire_format in ADAPTERS}


def test_legacy_completions_are_conversations_underneath() -> None:
    translation = attempt({"prompt": "Once"}, dialect="openai_completions")
    assert sent(translation)["messages"] == [{"role": "user", "content": "Once"}]
    assert sent(translation)["max_tokens"] == 16
    stream = told(translation, chunk({"content": " upon"}), END)
    assert b'"object":"text_completion"' in stream
    assert b'"text":" upon"' in stream
    assert stream.endswith(DONE)
