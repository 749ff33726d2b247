"""The translation checklist between OpenAI's chat and Anthropic's Messages, box by box (requests up, answers down)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass, InvalidRequest, Unprocessable
from handlers.translation.canonical.attempt import Translation
from tests.handlers.translation.driving import attempt, play, sent, told, told_events, told_json
from tests.laws.test_anthropic_messages import block, delta, end, message, start, stop, stream

PIXEL = "iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
SHAPED = {"type": "json_schema", "json_schema": {"name": "shape", "schema": SCHEMA, "strict": True}}


def up(body: dict[str, Any] | None = None, **changes: Any) -> Translation:
    return attempt(body, wire_format="anthropic_messages", **changes)


def call(call_id: str, arguments: str = '{"a":1}', name: str = "look") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def result(call_id: str, content: Any = "seen") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# OpenAI chat -> Anthropic Messages


def test_the_mandatory_output_cap_comes_from_the_client_or_the_catalogue() -> None:
    assert sent(up({"max_completion_tokens": 7}))["max_tokens"] == 7
    assert sent(up({"max_tokens": 8}))["max_tokens"] == 8
    assert sent(up(able={"output_tokens_max": 4_096}))["max_tokens"] == 4_096
    assert sent(up())["max_tokens"] > 0


def test_system_and_developer_messages_are_hoisted_in_order_with_their_cache_marks_and_blanks_dropped() -> None:
    marked = {"type": "text", "text": "two", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [
        {"role": "system", "content": "one"},
        {"role": "system", "content": "  \n"},
        user("hi"),
        {"role": "developer", "content": [marked]},
    ]
    body = sent(up({"messages": messages}))
    assert body["system"] == [{"type": "text", "text": "one"}, marked]
    assert [turn["role"] for turn in body["messages"]] == ["user"]
    assert "system" not in sent(up({"messages": [{"role": "system", "content": ""}, user("hi")]}))


def test_neighbours_of_one_role_are_merged_and_the_user_begins() -> None:
    translation = up({"messages": [{"role": "assistant", "content": "a"}, user("b"), user("c")]})
    turns = sent(translation)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [part["text"] for part in turns[2]["content"]] == ["b", "c"]
    assert "adapted:messages" in translation.warnings


def test_all_results_of_one_turn_go_into_one_user_message_before_any_text() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [call("k1"), call("k2")]}
    turns = sent(up({"messages": [user("hi"), asked, result("k1"), result("k2"), user("go on")]}))["messages"]
    assert [part["type"] for part in turns[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert [part["tool_use_id"] for part in turns[2]["content"][:2]] == ["k1", "k2"]


def test_a_call_without_its_result_is_refused_by_name() -> None:
    asked = {"role": "assistant", "tool_calls": [call("k1")]}
    with pytest.raises(InvalidRequest) as refused:
        up({"messages": [user("hi"), asked, user("never mind")]})
    assert refused.value.param == "messages[1].tool_calls[0]"


def test_arguments_become_objects_and_broken_ones_are_wrapped() -> None:
    calls = [call("k1", '{"a": 1}'), call("k2", ""), call("k3", "{broken"), call("k4", "[1]")]
    messages = [user("hi"), {"role": "assistant", "tool_calls": calls}, *(result(f"k{n}") for n in range(1, 5))]
    content = sent(up({"messages": messages}))["messages"][1]["content"]
    assert [part["input"] for part in content] == [{"a": 1}, {}, {"raw_arguments": "{broken"}, {"value": [1]}]


def test_blank_text_never_becomes_a_block_and_empty_results_stay_empty() -> None:
    asked = {"role": "assistant", "content": "", "tool_calls": [call("k1")]}
    turns = sent(up({"messages": [user([{"type": "text", "text": " "}]), asked, result("k1", "")]}))["messages"]
    assert [part["type"] for part in turns[1]["content"]] == ["tool_use"]
    assert "content" not in turns[2]["content"][0]
    assert all(part["text"].strip() for part in turns[0]["content"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_tool_choices(choice: Any, expected: dict[str, Any]) -> None:
    assert sent(up({"tools": [TOOL], "tool_choice": choice}))["tool_choice"] == expected


def test_one_call_at_a_time() -> None:
    body = sent(up({"tools": [TOOL], "parallel_tool_calls": False}))
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_tool_names_outside_the_alphabet_are_renamed_and_come_back() -> None:
    odd = {"type": "function", "function": {"name": "ns.look/at", "parameters": {"type": "object"}}}
    translation = up({"tools": [odd], "tool_choice": {"type": "function", "function": {"name": "ns.look/at"}}})
    name = sent(translation)["tools"][0]["name"]
    assert name != "ns.look/at"
    assert sent(translation)["tool_choice"]["name"] == name
    answer = stream(start(), block(0, type="tool_use", id="t1", name=name, input={}), stop(0), *end("tool_use"))
    assert b'"name":"ns.look/at"' in told(translation, answer)


def test_images_and_documents_keep_their_form() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}},
    ]
    content = sent(up({"messages": [user(parts)]}))["messages"][0]["content"]
    assert content[0]["source"] == {"type": "base64", "media_type": "image/png", "data": PIXEL}
    assert content[1]["source"] == {"type": "url", "url": "https://pictures.example/cat.png"}
    assert content[2]["type"] == "document"
    assert content[2]["source"]["media_type"] == "application/pdf"


def test_structured_output_is_native_where_there_is_such_a_thing() -> None:
    body = sent(up({"response_format": SHAPED}))
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}


def test_structured_output_is_a_forced_tool_elsewhere_and_the_client_never_sees_it() -> None:
    translation = up({"response_format": SHAPED}, able={"json_schema": False})
    body = sent(translation)
    name = body["tools"][0]["name"]
    assert body["tool_choice"] == {"type": "tool", "name": name}
    answer = stream(
        start(),
        block(0, type="tool_use", id="t1", name=name, input={}),
        delta(0, type="input_json_delta", partial_json='{"a":'),
        delta(0, type="input_json_delta", partial_json="1}"),
        stop(0),
        *end("tool_use"),
    )
    events = told_events(translation, answer)
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert msgspec.json.decode(text) == {"a": 1}
    finishes = [event["choices"][0]["finish_reason"] for event in events if event["choices"]]
    assert [finish for finish in finishes if finish] == ["stop"]
    assert name.encode() not in b"".join(map(msgspec.json.encode, events))


def test_a_schema_beside_tools_is_refused_where_it_would_need_the_forced_tool() -> None:
    with pytest.raises(Unprocessable) as refused:
        up({"response_format": SHAPED, "tools": [TOOL]}, able={"json_schema": False})
    assert refused.value.param == "response_format"


def test_sampling_is_dropped_where_the_model_takes_none_and_named() -> None:
    translation = up({"temperature": 0.5, "top_p": 0.9}, quirks=frozenset({"no_sampling"}))
    assert not {"temperature", "top_p"} & set(sent(translation))
    assert {"dropped:temperature", "dropped:top_p"} <= set(translation.warnings)
    warm = up({"temperature": 1.5})
    assert sent(warm)["temperature"] == 1
    assert "adapted:temperature" in warm.warnings


def test_thinking_has_a_budget_below_the_cap_or_an_effort() -> None:
    counted = up({"reasoning_effort": "high", "max_tokens": 10_000, "temperature": 0.2})
    body = sent(counted)
    assert body["thinking"]["type"] == "enabled"
    assert 1_024 <= body["thinking"]["budget_tokens"] < 10_000
    assert "temperature" not in body
    adaptive = sent(up({"reasoning_effort": "low"}, quirks=frozenset({"adaptive_thinking"})))
    assert adaptive["thinking"] == {"type": "adaptive"}
    assert adaptive["output_config"] == {"effort": "low"}
    tight = up({"reasoning_effort": "high", "max_tokens": 500})
    assert "thinking" not in sent(tight)
    assert "dropped:reasoning" in tight.warnings


def test_thinking_and_signatures_make_the_round_trip_byte_for_byte() -> None:
    proofs = ("c2lnbmF0dXJl+/==", "", "ZW5jcnlwdGVk")
    answer = stream(
        start(),
        block(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature=proofs[0]),
        stop(0),
        block(1, type="thinking", thinking="", signature=""),
        delta(1, type="signature_delta", signature=proofs[0]),
        stop(1),
        block(2, type="redacted_thinking", data=proofs[2]),
        stop(2),
        block(3, type="text", text="Yes."),
        stop(3),
        *end(),
    )
    whole = told_json(up(stream=False, upstream_stream=True), answer)
    details = whole["choices"][0]["message"]["reasoning_details"]
    history = [user("hi"), {"role": "assistant", "content": "Yes.", "reasoning_details": details}, user("more")]
    content = sent(up({"messages": history}))["messages"][1]["content"]
    assert content[:3] == [
        {"type": "thinking", "thinking": "hm", "signature": proofs[0]},
        {"type": "thinking", "thinking": "", "signature": proofs[0]},
        {"type": "redacted_thinking", "data": proofs[2]},
    ]


def test_proofs_of_another_maker_are_not_sent() -> None:
    details = [{"type": "reasoning.encrypted", "data": "eA==", "format": "openai-responses-v1"}]
    history = [user("hi"), {"role": "assistant", "content": "Yes.", "reasoning_details": details}, user("more")]
    assert [part["type"] for part in sent(up({"messages": history}))["messages"][1]["content"]] == ["text"]


def test_betas_that_keep_something_are_held_back() -> None:
    headers = {"anthropic-beta": "files-api-2025-04-14,context-1m-2025-08-07"}
    translation = attempt(dialect="anthropic_messages", wire_format="anthropic_messages", client_headers=headers)
    assert dict(translation.upstream.headers)["anthropic-beta"] == "context-1m-2025-08-07"
    assert translation.warnings == ("dropped:anthropic-beta:files-api-2025-04-14",)


def test_a_whole_answer_may_be_asked_for_as_a_stream() -> None:
    translation = up({"max_tokens": 60_000}, stream=False, upstream_stream=True)
    assert sent(translation)["stream"] is True
    answer = stream(start(), block(0, type="text", text="Hello"), stop(0), *end())
    assert told_json(translation, answer)["choices"][0]["message"]["content"] == "Hello"


# Anthropic Messages -> OpenAI chat


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons_and_the_native_word(native: str, expected: str) -> None:
    choice = told_json(up(stream=False), message([{"type": "text", "text": "a"}], native))["choices"][0]
    assert choice["finish_reason"] == expected
    assert choice["native_finish_reason"] == native


def test_cached_tokens_are_added_to_the_prompt_and_writes_keep_their_price_class() -> None:
    translation = up(stream=False)
    usage = told_json(translation, message([{"type": "text", "text": "a"}]))["usage"]
    assert usage["prompt_tokens"] == 12 + 5 + 3
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
    billed = translation.outcome.usage
    assert (billed.input, billed.cache_read, billed.cache_write_5m, billed.cache_write_1h) == (12, 5, 1, 2)


def test_output_counts_are_cumulative_not_deltas() -> None:
    twice = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}}
    translation = up()
    play(translation, stream(start(), block(0, type="text", text="a"), stop(0), twice, *end()))
    assert translation.outcome.usage.output == 9


def test_call_indices_count_calls_only_and_later_pieces_carry_arguments_only() -> None:
    answer = stream(
        start(),
        block(0, type="text", text="a"),
        stop(0),
        block(1, type="tool_use", id="t1", name="look", input={}),
        delta(1, type="input_json_delta", partial_json=""),
        delta(1, type="input_json_delta", partial_json='{"a":1}'),
        stop(1),
        block(2, type="tool_use", id="t2", name="leap", input={}),
        stop(2),
        *end("tool_use"),
    )
    chunks = [e["choices"][0]["delta"]["tool_calls"][0] for e in told_events(up(), answer) if _calls(e)]
    assert chunks == [
        {"index": 0, "id": "t1", "type": "function", "function": {"name": "look", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":1}'}},
        {"index": 1, "id": "t2", "type": "function", "function": {"name": "leap", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def _calls(event: dict[str, Any]) -> bool:
    return bool(event["choices"]) and "tool_calls" in event["choices"][0]["delta"]


def test_pings_say_nothing_and_an_error_event_ends_with_an_error() -> None:
    translation = up()
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    outputs = play(translation, stream(start(), {"type": "ping"}), stream(block(0, type="text", text="a"), overloaded))
    assert not outputs[0].semantic
    assert b'"error_type":"provider_overloaded"' in outputs[-1].final
    assert translation.outcome.failure is FailureClass.OVERLOADED


def test_an_empty_balance_is_not_the_clients_fault() -> None:
    translation = up()
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}'
    play(translation, body, status=400)
    assert translation.outcome.failure is FailureClass.QUOTA


def test_several_texts_and_citations_are_joined_in_order() -> None:
    cited = {"type": "web_search_result_location", "url": "https://a.example/", "title": "A", "cited_text": "x"}
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "one "},
        {"type": "text", "text": "two", "citations": [cited]},
    ]
    message_ = told_json(up(stream=False), message(blocks))["choices"][0]["message"]
    assert message_["content"] == "one two"
    assert message_["annotations"][0]["url_citation"]["url"] == "https://a.example/"


# Anthropic's dialect in front of other providers


def down(body: dict[str, Any] | None = None, **changes: Any) -> Translation:
    return attempt(body, dialect="anthropic_messages", wire_format="openai_chat", **changes)


def chunk(delta_: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta_, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({"id": "c-1", "model": "m", "choices": [choice]}) + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}\n\n'


def test_the_prompt_size_is_estimated_first_and_corrected_at_the_end() -> None:
    events = told_events(down(), chunk({"content": "a"}), chunk({}, "stop"), USAGE)
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    assert events[-2]["usage"]["input_tokens"] == 10


def test_blocks_never_overlap_and_indices_grow_even_if_upstream_interleaves() -> None:
    first = {"index": 0, "id": "k1", "function": {"name": "look", "arguments": '{"a"'}}
    second = {"index": 1, "id": "k2", "function": {"name": "leap", "arguments": "{}"}}
    events = told_events(
        down(),
        chunk({"content": "a"}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [second]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({}, "tool_calls"),
        USAGE,
    )
    shape = [(event["type"].removeprefix("content_block_"), event.get("index")) for event in events[1:-2]]
    assert shape == [
        ("start", 0), ("delta", 0), ("stop", 0),
        ("start", 1), ("delta", 1), ("delta", 1), ("stop", 1),
        ("start", 2), ("delta", 2), ("stop", 2),
    ]  # fmt: skip


def test_errors_in_the_stream_have_anthropics_shape() -> None:
    final = play(down(), chunk({"content": "a"}))[-1].final
    assert final.startswith(b"event: error\ndata: ")
    assert msgspec.json.decode(final.split(b"data: ")[1])["error"]["type"] == "api_error"


def test_what_only_anthropic_runs_is_refused_by_name() -> None:
    for body, param in (
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"messages": [user([{"type": "server_tool_use", "id": "s", "name": "x"}])]}, "messages[0].content[0].type"),
    ):
        with pytest.raises(Unprocessable) as refused:
            down(body, stateless=False)
        assert refused.value.param == param


def test_optimisations_that_others_lack_are_dropped_and_named() -> None:
    translation = down({"context_management": {"edits": []}, "cache_control": {"type": "ephemeral"}})
    assert set(translation.warnings) == {"dropped:context_management", "dropped:cache_control"}


def test_system_stops_user_and_thinking_are_understood() -> None:
    body = sent(
        down(
            {
                "system": [{"type": "text", "text": "Be brief."}],
                "stop_sequences": ["END"],
                "metadata": {"user_id": "anna"},
                "thinking": {"type": "enabled", "budget_tokens": 2_000},
                "max_tokens": 4_000,
            }
        )
    )
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["stop"] == ["END"]
    assert body["reasoning_effort"] == "medium"
    assert "anna" not in msgspec.json.encode(body).decode()
