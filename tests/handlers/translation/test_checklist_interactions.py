"""The translation checklist for Google Interactions as a client's format, box by box; answers obey Google's specification."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.errors import FailureClass, InvalidRequest, Unprocessable
from handlers.translation.canonical.attempt import Translation
from tests.handlers.translation.driving import attempt, play, sent, told, told_events, told_json
from tests.judges.interactions import interaction_complaints
from tests.laws.made import encode, sse
from tests.laws.test_gemini import call, chunk

WEATHER = {"type": "function", "name": "look", "parameters": {"type": "object"}}


def gemini_text(text: str) -> dict[str, Any]:
    return {"text": text}


def interact(body: dict[str, Any] | None = None, wire_format: str = "openai_chat", **changes: Any) -> Translation:
    return attempt(body, dialect="google_interactions", wire_format=wire_format, **changes)


def judged(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for event in events:
        assert interaction_complaints("InteractionSseEvent", event) == [], event["event_type"]
    return events


def deltas(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [
        event["delta"] for event in events if event["event_type"] == "step.delta" and event["delta"]["type"] == kind
    ]


def test_steps_become_turns_and_parallel_results_one_turn() -> None:
    steps = [
        {"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
        {"type": "thought", "summary": [{"type": "text", "text": "hm"}]},
        {"type": "model_output", "content": [{"type": "text", "text": "Looking."}]},
        {"type": "function_call", "id": "k1", "name": "look", "arguments": {"a": 1}},
        {"type": "function_call", "id": "k2", "name": "look", "arguments": {}},
        {"type": "function_result", "call_id": "k1", "result": {"seen": 1}},
        {"type": "function_result", "call_id": "k2", "result": "rain", "is_error": True},
    ]
    assert interaction_complaints("CreateModelInteractionParams", {"model": "m", "input": steps}) == []
    body = sent(interact({"input": steps, "system_instruction": "Be brief.", "tools": [WEATHER]}))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert body["messages"][2]["content"] == "Looking."
    assert [one["function"]["arguments"] for one in body["messages"][2]["tool_calls"]] == ['{"a":1}', "{}"]
    assert [message["content"] for message in body["messages"][3:]] == ['{"seen":1}', "rain"]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]


@pytest.mark.parametrize("given", ["hi", {"type": "text", "text": "hi"}, [{"type": "text", "text": "hi"}]])
def test_every_form_of_input_is_one_turn_of_the_user(given: Any) -> None:
    assert sent(interact({"input": given}))["messages"] == [{"role": "user", "content": "hi"}]


def test_options_have_their_names_and_what_is_dropped_is_named() -> None:
    config = {
        "temperature": 0.5, "seed": 3, "stop_sequences": ["END"], "max_output_tokens": 50, "thinking_level": "low",
        "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["look"]}}, "speech_config": [{"voice": "Kore"}],
    }  # fmt: skip
    asked = {
        "generation_config": config, "tools": [WEATHER, {"type": "google_search"}], "store": True, "labels": {"a": "b"},
        "response_format": {"type": "text", "mime_type": "application/json", "schema": {"type": "object"}}, "novel": 1,
    }  # fmt: skip
    translation = interact(asked)
    body = sent(translation)
    assert (body["temperature"], body["seed"], body["stop"], body["max_tokens"]) == (0.5, 3, ["END"], 50)
    assert body["reasoning_effort"] == "low"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert body["response_format"]["type"] == "json_schema"
    named = {warning.removeprefix("dropped:") for warning in translation.warnings}
    assert named == {"tools.google_search", "generation_config.speech_config", "store", "labels", "novel"}


def test_media_come_as_data_or_as_web_addresses() -> None:
    image = {"type": "image", "mime_type": "image/png", "data": "AAAA"}
    page = {"type": "image", "uri": "https://pictures.example/a.png"}
    content = sent(interact({"input": [image, page]}))["messages"][0]["content"]
    assert [part["image_url"]["url"] for part in content] == [
        "data:image/png;base64,AAAA",
        "https://pictures.example/a.png",
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_interaction_id": "v1_x"}, "previous_interaction_id"),
        ({"background": True}, "background"),
        ({"agent": "deep-research"}, "agent"),
        (
            {"input": [{"type": "image", "uri": "https://generativelanguage.googleapis.com/v1beta/files/x"}]},
            "input[0].uri",
        ),
        ({"input": [{"type": "image", "uri": "files/x"}]}, "input[0].uri"),
        ({"input": []}, "input"),
        ({"input": [{"type": "function_result", "result": "x"}]}, "input[0].call_id"),
        ({"generation_config": {"thinking_level": "vast"}}, "generation_config.thinking_level"),
        ({"generation_config": {"temperature": 3}}, "generation_config.temperature"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": 5}, "input"),
    ],
)
def test_what_cannot_be_served_names_its_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        interact(body)
    assert refused.value.param == param


def test_steps_that_only_google_runs_are_refused() -> None:
    with pytest.raises(Unprocessable):
        interact({"input": [{"type": "google_search_call", "id": "1", "arguments": {}}]})


def test_a_whole_answer_with_thought_signature_and_call() -> None:
    body = encode(
        chunk({"text": "hm", "thought": True}, gemini_text("Looking."), call("look", "c2lnbmVk", a=1), finish="STOP")
    )
    whole = told_json(interact({"generation_config": {"thinking_summaries": "auto"}}, "gemini", stream=False), body)
    assert interaction_complaints("Interaction", whole) == []
    assert whole["status"] == "requires_action"
    assert [step["type"] for step in whole["steps"]] == ["thought", "model_output", "thought", "function_call"]
    assert whole["steps"][0]["summary"] == [{"type": "text", "text": "hm"}]
    assert whole["steps"][2]["signature"] == "c2lnbmVk"
    assert whole["steps"][3]["arguments"] == {"a": 1}


def test_a_signature_makes_the_round_trip_to_the_call_it_belongs_to() -> None:
    made = told_json(interact({}, "gemini", stream=False), encode(chunk(call("look", "c2lnbmVk", a=1), finish="STOP")))
    steps = [{"type": "user_input", "content": "hi"}, *made["steps"]]
    steps.append({"type": "function_result", "call_id": made["steps"][-1]["id"], "result": "seen"})
    quirks = frozenset({"thought_signatures"})
    contents = sent(interact({"input": steps, "tools": [WEATHER]}, "gemini", quirks=quirks))["contents"]
    assert contents[1]["parts"][0]["thoughtSignature"] == "c2lnbmVk"
    assert "functionCall" in contents[1]["parts"][0]


def test_a_streamed_call_comes_after_the_thought_that_signs_it() -> None:
    events = judged(told_events(interact({}, "gemini"), sse(chunk(call("look", "c2lnbmVk", a=1), finish="STOP"))))
    kinds = [event["step"]["type"] for event in events if event["event_type"] == "step.start"]
    assert kinds == ["thought", "function_call"]
    assert deltas(events, "thought_signature")[0]["signature"] == "c2lnbmVk"
    arguments = "".join(delta["arguments"] for delta in deltas(events, "arguments_delta"))
    assert msgspec.json.decode(arguments) == {"a": 1}
    assert [event["index"] for event in events if event["event_type"] == "step.stop"] == [0, 1]
    assert events[-1]["interaction"]["status"] == "requires_action"


@pytest.mark.parametrize(("summaries", "shown"), [("auto", 1), ("none", 0)])
def test_thoughts_are_summarised_for_those_who_ask(summaries: str, shown: int) -> None:
    asked = {"generation_config": {"thinking_level": "high", "thinking_summaries": summaries}}
    stream = sse(chunk({"text": "hm", "thought": True}), chunk(gemini_text("Yes."), finish="STOP"))
    events = judged(told_events(interact(asked, "gemini"), stream))
    assert len(deltas(events, "thought_summary")) == shown
    assert [event["step"]["type"] for event in events if event["event_type"] == "step.start"] == [
        "thought",
        "model_output",
    ]


def test_a_failure_after_content_ends_with_its_error_event_and_no_end_marker() -> None:
    translation = interact({}, "gemini")
    outputs = play(translation, sse(chunk(gemini_text("Hel"))))
    assert translation.outcome.failure is FailureClass.TRUNCATED
    last = outputs[-1].final
    assert b"[DONE]" not in last
    error = msgspec.json.decode(last.split(b"data: ")[1])
    assert interaction_complaints("ErrorEvent", error) == []
    assert error["error"]["code"] == "provider_truncated"


def test_a_stream_ends_with_usage_and_the_end_marker() -> None:
    data = told(interact({}, "gemini"), sse(chunk(gemini_text("Yes."), finish="MAX_TOKENS")))
    assert data.endswith(b"event: done\ndata: [DONE]\n\n")
    whole = msgspec.json.decode(data.split(b"event: interaction.completed\ndata: ")[1].split(b"\n")[0])["interaction"]
    assert whole["status"] == "incomplete"
    usage = whole["usage"]
    said = usage["total_output_tokens"] + usage["total_thought_tokens"]
    assert usage["total_tokens"] == usage["total_input_tokens"] + said
