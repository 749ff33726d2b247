"""A73: under shared credentials no request names an object that the provider keeps, however it is written."""

from __future__ import annotations

import msgspec
import pytest

from handlers.errors import InvalidRequest
from handlers.translation.dialects.openai_chat_parse import decode_chat
from handlers.translation.dialects.reading import decode_top
from handlers.translation.passthrough.kept_objects import refuse_kept_fields, refuse_kept_objects

pytestmark = pytest.mark.claim("A73")


HELLO = '[{"role":"user","content":"Hello"}]'


def check(messages: str, rest: str = "") -> None:
    body = f'{{"model":"m","messages":{messages}{rest}}}'.encode()
    refuse_kept_fields(decode_top(body))
    refuse_kept_objects(decode_chat(body), decode_top(body), body)


def parts(*written: str) -> str:
    return f'[{{"role":"user","content":[{",".join(written)}]}}]'


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (parts('{"type":"file","file":{"file_id":"file-1"}}'), "messages[0].content[0].file.file_id"),
        (
            parts('{"type":"text","text":"x"}', '{"type":"file","file":{"file_id":"a"}}'),
            "messages[0].content[1].file.file_id",
        ),
        ('[{"role":"assistant","audio":{"id":"audio_1"}}]', "messages[0].audio.id"),
        (parts('{"type":"file","file":{"file_id":"file-1","file_id":null}}'), "messages"),
        (parts('{"type":"file","file":{"file_id" : "file-1","file_id": null}}'), "messages"),
        (parts('{"type":"file","file":{"file\\u005fid":"file-1","file\\u005fid":null}}'), "messages"),
        (parts('{"type":"file","file":{"\\u0066ile_id":"file-1","\\u0066ile_id":null}}'), "messages"),
        ('[{"role":"assistant","audio":{"id":"audio_1"},"audio":null}]', "messages"),
        (parts('{"type":"unknown","image_file":{"file_id":"file-1"}}'), "messages"),
    ],
)
def test_a73_an_object_kept_by_the_provider_is_refused(messages: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check(messages)
    assert refusal.value.param == param


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "container", "file_ids"])
def test_a73_so_is_a_field_that_names_one(name: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check(HELLO, f',"{name}":"x_1"')
    assert refusal.value.param == name
    check(HELLO, f',"{name}":null')


@pytest.mark.parametrize(
    "content",
    [
        'He said "file_id": "x", {"audio": {"id": 1}}',
        "caf\u00e9 \u2028 \u0000 <&> \\u0041 \\ \u005c",
        '{"file_id":"x"}',
    ],
)
def test_text_may_say_anything(content: str) -> None:
    check(msgspec.json.encode([{"role": "user", "content": content}]).decode())
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": content}}
    check(msgspec.json.encode([{"role": "assistant", "tool_calls": [call]}]).decode())


def test_escapes_that_encoders_make_are_accepted() -> None:
    check('[{"role":"user","content":"caf\\u00e9 \\u003cb\\u003e \\u0026 \\u001b \\u2028"}]')
    check(parts('{"type":"file","file":{"file_data":"data:x","file_id":null}}'))
    check('[{"role":"assistant","content":"x","audio":null}]')


def test_a_tool_may_have_a_parameter_of_that_name() -> None:
    check(HELLO, ',"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"file_id":{}}}}}]')
