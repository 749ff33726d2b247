"""Plain messages are those of which nothing but the texts and the calls need be known."""

from __future__ import annotations

import pytest

from handlers.translation.canonical.plain_messages import MESSAGES_MAX, decode_plain
from handlers.translation.dialects.openai_chat_parse import decode_chat

CALL = '{"id":"c","type":"function","function":{"name":"f","arguments":"{\\"file_id\\":1}"}}'


@pytest.mark.parametrize(
    "messages",
    [
        '[{"role":"user","content":"hi"}]',
        '[{"role":"user","content":[{"type":"text","text":"a \\"file_id\\": 1"}],"name":"n"}]',
        '[{"role":"assistant","content":null,"refusal":null,"audio":null,"function_call":null,"tool_calls":[CALL]}]',
        '[{"role":"tool","tool_call_id":"c","content":"\\u0041"}]',
    ],
)
def test_texts_and_calls_are_plain(messages: str) -> None:
    messages = messages.replace("CALL", CALL)
    plain = decode_plain(messages.encode())
    assert plain is not None
    decode_chat(b'{"messages":%b}' % messages.encode())
    assert [message.role for message in plain]


@pytest.mark.claim("A73")
@pytest.mark.parametrize(
    "messages",
    [
        '[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]',
        '[{"role":"user","content":[{"type":"text","text":"x","file":null}]}]',
        '[{"role":"user","content":[{"type":"text","text":"x","\\u0066ile":{"file_id":"f"}}]}]',
        '[{"role":"assistant","audio":{"id":"a"},"audio":null}]',
        '[{"role":"assistant","\\u0061udio":{"id":"a"},"audio":null}]',
        '[{"role":"user","content":"x","image_file":{"file_id":"f"}}]',
        '[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"","file_id":"f"}}]}]',
        '[{"role":"assistant","tool_calls":[{"id":"c","extra_content":{},"function":{"name":"f","arguments":""}}]}]',
    ],
)
def test_a73_nothing_that_could_name_a_kept_object_is_plain(messages: str) -> None:
    assert decode_plain(messages.encode()) is None


@pytest.mark.parametrize(
    "messages",
    [
        "",
        "[]",
        "{}",
        "0",
        "null",
        '[{"role":"user","content":"a"}] ,',
        '[{"role":"user","content":"a"}],"x":1',
        '[{"role":"user","content":"a"}][]',
        '[{"role":"user","content":"a"}',
        '[{"role":"user","content":1}]',
        '[{"role":"nobody","content":"a"}]',
        "[" + ",".join(['{"role":"user"}'] * (MESSAGES_MAX + 1)) + "]",
        "[" * 3000,
    ],
)
def test_what_is_no_array_of_messages_is_not_plain(messages: str) -> None:
    assert decode_plain(messages.encode()) is None


def test_bytes_that_are_no_text_are_not_plain() -> None:
    assert decode_plain(b'[{"role":"user","content":"\xff"}]') is None
