"""Material that only its maker can read: known however it is shown, left out where it is not kept, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.translation.canonical.bound_material import (
    LEFT_OUT,
    UNSIGNED_CALL,
    fingerprint,
    fingerprints_in,
    leave_out,
    may_hold_material,
)
from handlers.translation.canonical.proof import mark_proof

MINE, THEIRS = "TWluZQ==", "VGhlaXJz"
KEPT = (fingerprint(MINE),)


def test_a_piece_is_the_same_however_it_is_shown() -> None:
    piece = "Ab-_Cd=="
    shown = {
        piece,
        "Ab+/Cd==",
        "Ab-_Cd",
        *(
            mark_proof(piece, origin, native)
            for origin in ("anthropic", "google", "openai")
            for native in ("openai", "google", "anthropic")
        ),
    }
    assert len(shown) > 5
    assert {fingerprint(text) for text in shown} == {fingerprint(piece)}
    assert fingerprint("Ab-_Ce") != fingerprint(piece)


def chat(proof: str) -> dict[str, Any]:
    details = [
        {"type": "reasoning.encrypted", "data": proof},
        {"type": "reasoning.text", "text": "t", "signature": proof},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"signature":"user\'s"}'}}
    signed = {**call, "extra_content": {"google": {"thought_signature": proof}}}
    return {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "a", "reasoning_details": details, "tool_calls": [signed]},
        ]
    }


def messages(proof: str) -> dict[str, Any]:
    thoughts = [
        {"type": "thinking", "thinking": "t", "signature": proof},
        {"type": "redacted_thinking", "data": proof},
        {"type": "tool_use", "id": "t1", "name": "sign", "input": {"signature": "the user's own", "data": "x"}},
    ]
    return {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": thoughts}]}


def responses(proof: str) -> dict[str, Any]:
    return {
        "input": [
            {"type": "message", "role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": proof},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        ]
    }


def google(proof: str) -> dict[str, Any]:
    parts = [
        {"text": "t", "thoughtSignature": proof},
        {"functionCall": {"name": "f", "args": {"signature": "the user's"}}, "thoughtSignature": proof},
        {"functionCall": {"name": "g", "args": {}}, "thought_signature": proof},
    ]
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": parts}]}


def interactions(proof: str) -> dict[str, Any]:
    return {"input": [{"type": "thought", "signature": proof}, {"type": "function_call", "id": "c", "name": "f"}]}


DIALECTS = {
    "openai_chat": chat, "anthropic_messages": messages, "openai_responses": responses, "google_generate": google,
    "google_interactions": interactions,
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_kept_stays_byte_for_byte(dialect: str) -> None:
    body = msgspec.json.encode(DIALECTS[dialect](MINE))
    assert may_hold_material(dialect, body)
    assert fingerprint(MINE) in fingerprints_in(body)
    assert leave_out(body, KEPT) == (body, ())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_not_kept_is_left_out_and_nothing_else(dialect: str) -> None:
    body = msgspec.json.encode(DIALECTS[dialect](THEIRS))
    less, told = leave_out(body, KEPT)
    assert LEFT_OUT in told
    assert THEIRS.encode() not in less
    assert b"user's" not in body or b"user's" in less, "arguments of tools are the client's own"
    assert leave_out(less, KEPT) == (less, ()), "nothing is left to leave out"


def test_shapes_without_their_pieces() -> None:
    def left(document: dict[str, Any]) -> Any:
        return msgspec.json.decode(leave_out(msgspec.json.encode(document), ())[0])

    assert "reasoning_details" not in left(chat(THEIRS))["messages"][1]
    assert left(chat(THEIRS))["messages"][1]["tool_calls"][0]["extra_content"] == {"google": {}}
    assert [block["type"] for block in left(messages(THEIRS))["messages"][1]["content"]] == ["tool_use"]
    assert [item["type"] for item in left(responses(THEIRS))["input"]] == ["message", "function_call"]
    assert "id" not in left(responses(THEIRS))["input"][1], "it would ask for the reasoning that is gone"
    assert [part.get("thoughtSignature") or part.get("thought_signature") for part in left(google(THEIRS))["contents"][1]["parts"]] == [
        None, UNSIGNED_CALL, UNSIGNED_CALL,
    ]  # fmt: skip
    only = {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": THEIRS}]}]}
    assert left(only)["messages"] == [], "a message of nothing is none"


def test_a_turn_in_the_middle_of_tool_calls_does_not_think_on_without_its_thought() -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]}
    document = messages(THEIRS) | {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    document["messages"].append(result)
    body, told = leave_out(msgspec.json.encode(document), ())
    assert told == (LEFT_OUT, "reasoning")
    assert msgspec.json.decode(body)["thinking"] == {"type": "disabled"}
    document["messages"].append({"role": "user", "content": "go on"})
    assert leave_out(msgspec.json.encode(document), ())[1] == (LEFT_OUT,)


def test_pictures_and_plain_talk_are_no_material() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    said = [{"role": "user", "content": [picture]}, {"role": "assistant", "content": 'a \\"signature\\": "x"'}]
    body = msgspec.json.encode({"messages": said})
    assert fingerprints_in(body) == ()
    assert leave_out(body, ()) == (body, ())
    for dialect in DIALECTS:
        assert not may_hold_material(dialect, msgspec.json.encode({"messages": [{"role": "user", "content": "hi"}]}))
