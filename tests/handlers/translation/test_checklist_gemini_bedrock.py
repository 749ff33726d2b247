"""The translation checklist for Gemini and Bedrock Converse, box by box."""

from __future__ import annotations

from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import validate_parameters

from handlers.errors import FailureClass, Unprocessable
from handlers.translation.adapters.gemini import DUMMY_SIGNATURE
from handlers.translation.canonical.attempt import Translation, UpstreamTarget
from handlers.translation.framing.aws_event_stream import message_bytes
from handlers.translation.registry import ADAPTERS
from tests.handlers.translation.driving import attempt, play, sent, told_events, told_json
from tests.laws.made import encode, sse
from tests.laws.requests import REQUESTS
from tests.laws.test_bedrock_converse import START, answer, delta, event, stop
from tests.laws.test_bedrock_converse import end as bedrock_end
from tests.laws.test_gemini import call as gemini_call
from tests.laws.test_gemini import chunk

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "place": {"$ref": "#/$defs/Place"},
        "kind": {"const": "city"},
        "level": {"enum": [1, 2]},
        "size": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 1},
        "tree": {"$ref": "#/$defs/Tree"},
        "either": {"oneOf": [{"type": "string", "format": "uri"}, {"type": "integer"}]},
    },
    "required": ["place", "missing"],
    "$defs": {
        "Place": {"type": "object", "properties": {"name": {"type": "string"}}},
        "Tree": {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}}},
    },
}


def gemini(body: dict[str, Any] | None = None, **changes: Any) -> Translation:
    return attempt(body, wire_format="gemini", **changes)


def bedrock(body: dict[str, Any] | None = None, **changes: Any) -> Translation:
    return attempt(body, wire_format="bedrock_converse", **changes)


def tool(name: str = "look", parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


def calls(*named: tuple[str, str]) -> dict[str, Any]:
    listed = [{"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}} for id_, name in named]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def result(call_id: str, content: str = '{"seen":1}') -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


USER = {"role": "user", "content": "hi"}


# Gemini


def test_roles_system_and_results_in_one_turn() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        USER,
        calls(("k1", "look"), ("k2", "look")),
        result("k1"),
        result("k2", "plain"),
    ]
    body = sent(gemini({"messages": messages, "tools": [tool()]}))
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    responses = [part["functionResponse"]["response"] for part in body["contents"][2]["parts"]]
    assert responses == [{"seen": 1}, {"result": "plain"}]


def test_a_stop_with_a_call_is_a_tool_call_and_ids_never_collide() -> None:
    whole = told_json(
        gemini(stream=False), encode(chunk(gemini_call("look", a=1), gemini_call("look", a=2), finish="STOP"))
    )
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    ids = [one["id"] for one in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_calls_that_cannot_be_made_are_failures(reason: str) -> None:
    translation = gemini()
    play(translation, sse(chunk(finish=reason)))
    assert translation.outcome.failure is FailureClass.MALFORMED


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"])
def test_filtered_answers(reason: str) -> None:
    whole = told_json(gemini(stream=False), encode(chunk(finish=reason)))
    assert whole["choices"][0]["finish_reason"] == "content_filter"
    assert whole["choices"][0]["native_finish_reason"] == reason


def test_a_blocked_prompt_comes_without_candidates() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}}
    translation = gemini(stream=False)
    assert told_json(translation, encode(body))["choices"][0]["finish_reason"] == "content_filter"
    assert translation.outcome.usage.input == 5


def test_thought_signatures_make_the_round_trip_through_openais_chat() -> None:
    answer_ = encode(chunk(gemini_call("look", "c2lnbmVk", a=1), finish="STOP"))
    message = told_json(gemini(stream=False), answer_)["choices"][0]["message"]
    history = [USER, {"role": "assistant", "tool_calls": message["tool_calls"]}, result(message["tool_calls"][0]["id"])]
    part = sent(gemini({"messages": history, "tools": [tool()]}))["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == "c2lnbmVk"


def test_calls_of_another_model_get_the_documented_dummy() -> None:
    history = [USER, calls(("k1", "look")), result("k1")]
    body = sent(gemini({"messages": history}, quirks=frozenset({"thought_signatures"})))
    assert body["contents"][1]["parts"][0]["thoughtSignature"] == DUMMY_SIGNATURE
    assert "thoughtSignature" not in sent(gemini({"messages": history}))["contents"][1]["parts"][0]


def test_schemas_are_cleaned_for_functions_and_answers() -> None:
    parameters = sent(gemini({"tools": [tool(parameters=SCHEMA)]}))["tools"][0]["functionDeclarations"][0]["parameters"]
    text = msgspec.json.encode(parameters).decode()
    for word in ("$ref", "$defs", "$schema", "additionalProperties", "exclusiveMinimum", "default", "oneOf", "const"):
        assert f'"{word}"' not in text
    known = parameters["properties"]
    assert known["place"]["properties"]["name"] == {"type": "STRING"}
    assert known["kind"] == {"enum": ["city"], "type": "STRING"}
    assert known["level"] == {"enum": ["1", "2"], "type": "STRING"}
    assert known["size"] == {"type": "NUMBER", "nullable": True}
    assert known["tree"]["properties"]["child"] == {"type": "OBJECT"}
    assert known["either"]["anyOf"] == [{"type": "STRING"}, {"type": "INTEGER"}]
    assert parameters["required"] == ["place"]
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    assert sent(gemini({"response_format": shape}))["generationConfig"]["responseSchema"] == parameters


def test_a_function_without_parameters_declares_none() -> None:
    empty = sent(gemini({"tools": [tool(parameters={"type": "object", "properties": {}})]}))
    assert "parameters" not in empty["tools"][0]["functionDeclarations"][0]


@pytest.mark.claim("A40")
def test_a40_a_schema_bomb_is_refused_by_name() -> None:
    wide: dict[str, Any] = {"type": "object", "properties": {}, "$defs": {"a0": {"type": "string"}}}
    for level in range(1, 20):
        inner = {f"p{n}": {"$ref": f"#/$defs/a{level - 1}"} for n in range(4)}
        wide["$defs"][f"a{level}"] = {"type": "object", "properties": inner}
    wide["properties"]["x"] = {"$ref": "#/$defs/a19"}
    with pytest.raises(Unprocessable) as refused:
        gemini({"tools": [tool(parameters=wide)]})
    assert refused.value.param == "tools[0].function.parameters"


def test_references_in_function_responses_do_not_reach_the_provider_as_schema() -> None:
    history = [USER, calls(("k1", "look")), result("k1", '{"$ref":"#/x"}')]
    part = sent(gemini({"messages": history}))["contents"][2]["parts"][0]
    assert part["functionResponse"]["response"] == {"result": '{"$ref":"#/x"}'}


def test_usage_adds_thoughts_subtracts_cache_and_takes_the_last() -> None:
    translation = gemini()
    play(translation, sse(chunk({"text": "a"}), chunk({"text": "b"}), chunk(finish="STOP")))
    usage = translation.outcome.usage
    assert (usage.input, usage.cache_read, usage.output, usage.reasoning) == (15, 5, 7, 2)


def test_the_model_stands_in_the_path_and_no_key_does() -> None:
    translation = gemini()
    assert translation.upstream.path == "/models/model-1:streamGenerateContent?alt=sse"
    assert "key=" not in translation.upstream.path


def test_json_beside_tools_is_refused_where_the_model_excludes_it() -> None:
    body = {"response_format": {"type": "json_object"}, "tools": [tool()]}
    with pytest.raises(Unprocessable) as refused:
        gemini(body, quirks=frozenset({"json_excludes_tools"}))
    assert refused.value.param == "response_format"


def test_thinking_by_budget_or_by_level() -> None:
    assert sent(gemini({"reasoning": {"max_tokens": 2_000}}))["generationConfig"]["thinkingConfig"] == {
        "includeThoughts": True,
        "thinkingBudget": 2_000,
    }
    level = sent(gemini({"reasoning_effort": "low"}, quirks=frozenset({"thinking_level"})))
    assert level["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingLevel": "LOW"}


def test_media_by_address_are_refused_where_nobody_fetches_them() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    assert sent(gemini(body))["contents"][0]["parts"][0]["fileData"]["mimeType"] == "image/png"
    with pytest.raises(Unprocessable) as refused:
        gemini(body, quirks=frozenset({"no_media_urls"}))
    assert refused.value.param == "messages[0].content[0].image_url.url"


# Google's dialect


def test_both_spellings_of_googles_names_are_understood() -> None:
    part = {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}
    body = {
        "contents": [{"role": "user", "parts": [part]}],
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "generation_config": {"max_output_tokens": 7, "stop_sequences": ["END"]},
    }
    told = sent(attempt(body, dialect="google_generate", wire_format="openai_chat"))
    assert told["max_tokens"] == 7
    assert told["stop"] == ["END"]
    assert told["messages"][0] == {"role": "system", "content": "Be brief."}
    assert told["messages"][1]["content"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"


def test_calls_without_ids_find_their_results_by_name_and_order() -> None:
    named = [{"functionCall": {"name": "look", "args": {"n": n}}} for n in (1, 2)]
    results = [{"functionResponse": {"name": "look", "response": {"n": n}}} for n in (1, 2)]
    contents = [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": named},
        {"role": "user", "parts": results},
    ]
    messages = sent(attempt({"contents": contents}, dialect="google_generate", wire_format="openai_chat"))["messages"]
    asked = [one["id"] for one in messages[1]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[2:]] == asked
    assert len(set(asked)) == 2
    assert [message["content"] for message in messages[2:]] == ['{"n":1}', '{"n":2}']


# Bedrock Converse


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_requests_obey_amazons_own_service_model(name: str) -> None:
    """botocore's parameter validation is the judge; blobs are base64 on the wire and bytes in its eyes."""
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    built = ADAPTERS["bedrock_converse"].build_request(
        REQUESTS[name], UpstreamTarget("bedrock_converse", "m", "bedrock")
    )
    body = msgspec.json.decode(built.upstream.body)
    shape = model.operation_model("Converse").input_shape
    assert shape is not None
    validate_parameters(_with_bytes(body) | {"modelId": "m"}, shape)
    assert set(body) <= set(shape.members)


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: v.encode() if k in {"bytes", "redactedContent"} else _with_bytes(v) for k, v in value.items()}


def test_the_model_is_quoted_into_the_path() -> None:
    upstream = UpstreamTarget("bedrock_converse", "us.anthropic.claude-x:0", "bedrock")
    assert bedrock(upstream=upstream).upstream.path == "/model/us.anthropic.claude-x%3A0/converse-stream"
    assert bedrock(upstream=upstream, stream=False).upstream.path == "/model/us.anthropic.claude-x%3A0/converse"


def test_a_history_with_calls_needs_its_tools_even_if_the_client_sends_none() -> None:
    history = {"messages": [USER, calls(("k1", "look")), result("k1")]}
    assert sent(bedrock(history))["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look"
    forbidden = bedrock(history | {"tools": [tool()], "tool_choice": "none"})
    assert "toolChoice" not in sent(forbidden)["toolConfig"]
    assert "adapted:tool_choice" in forbidden.warnings
    assert "toolConfig" not in sent(bedrock({"tools": [tool()], "tool_choice": "none"}))


def test_tool_results_are_never_empty_and_ids_fit() -> None:
    odd = "call.with:odd/characters" * 5
    body = sent(bedrock({"messages": [USER, calls((odd, "look")), result(odd, "")]}))
    asked = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    answered = body["messages"][2]["content"][0]["toolResult"]
    assert answered["toolUseId"] == asked
    assert len(asked) <= 64
    assert answered["content"][0]["text"].strip()


def test_exceptions_come_inside_the_stream() -> None:
    translation = bedrock()
    output = play(translation, START + delta(0, text="a"), message_bytes("throttlingException", b"{}", "exception"))[-1]
    assert translation.outcome.failure is FailureClass.RATE_LIMITED
    assert b'"finish_reason":"error"' in output.final


def test_usage_comes_after_the_stop_reason_and_excludes_cache() -> None:
    translation = bedrock()
    outputs = play(translation, START + delta(0, text="a") + stop(0) + event("messageStop", stopReason="end_turn"))
    assert outputs[-1].ended
    assert translation.outcome.usage.estimated
    whole = bedrock()
    play(whole, START + delta(0, text="a") + stop(0), bedrock_end())
    usage = whole.outcome.usage
    assert (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) == (12, 5, 1, 2)
    assert not usage.estimated


def test_cache_points_stand_after_what_they_cover() -> None:
    marked = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [marked]}, {"role": "user", "content": [marked]}]
    body = sent(bedrock({"messages": messages}))
    assert body["system"] == [{"text": "long"}, {"cachePoint": {"type": "default"}}]
    assert body["messages"][0]["content"] == [{"text": "long"}, {"cachePoint": {"type": "default"}}]


def test_what_converse_has_no_word_for_goes_into_additional_fields() -> None:
    body = sent(bedrock({"reasoning": {"max_tokens": 2_000}, "max_tokens": 4_000, "tools": [tool()]}))
    assert body["additionalModelRequestFields"]["thinking"] == {"type": "enabled", "budget_tokens": 2_000}
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}
    assert sent(bedrock({"top_k": 5}))["additionalModelRequestFields"] == {"top_k": 5}


def test_documents_have_names_that_bedrock_takes() -> None:
    file = {"filename": "a/b_c.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    body = sent(bedrock({"messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]}))
    assert body["messages"][0]["content"][0]["document"]["name"] == "a b c pdf"


def test_bedrock_answers_read_like_any_other() -> None:
    choice = told_json(bedrock(stream=False), answer([{"text": "Hello"}], "guardrail_intervened"))["choices"][0]
    assert choice["message"]["content"] == "Hello"
    assert choice["finish_reason"] == "content_filter"
    events = told_events(bedrock(), START + delta(0, text="Hel") + delta(0, text="lo") + stop(0) + bedrock_end())
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"]) == "Hello"
