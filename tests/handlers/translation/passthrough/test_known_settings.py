"""What is kept of bodies: little, exact, and nothing that a person wrote."""

from __future__ import annotations

import msgspec
import pytest

from handlers.translation.dialects.openai_chat_parse import decode_top
from handlers.translation.passthrough.known_settings import KNOWN_MAX, KnownSettings, Settings, cut

SETTINGS = Settings(b',"model":"m"}', (), include_usage=False, output_tokens_max=0, exclude_reasoning=False)
HELLO = '[{"role":"user","content":"hi"}]'


def learnt(body: str) -> bool:
    """Whether a body like this one, with messages for `HELLO`, would be known the next time."""
    body = body.replace("HELLO", HELLO)
    known = KnownSettings()
    parts = cut(body.encode())
    if parts is None:
        return False
    known.learn("terms", parts, decode_top(body.encode()), SETTINGS)
    assert known.find("other terms", parts) is None
    return known.find("terms", parts) is SETTINGS


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":HELLO}',
        '{"messages":HELLO,"model":"m","temperature":0.5,"stream":true,"stream_options":{"include_usage":true}}',
        '{"model": "m", "messages": HELLO, "max_tokens": 5}',
        '{"temperature":1,"temperature":2,"messages":HELLO}',
    ],
)
def test_numbers_switches_and_names_are_kept(body: str) -> None:
    assert learnt(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"messages":HELLO,"user":"somebody"}',
        '{"messages":HELLO,"tools":[]}',
        '{"messages":HELLO,"metadata":{"a":"b"}}',
        '{"messages":HELLO,"stop":"x"}',
        '{"messages":HELLO,"strange":1}',
        '{"seed":7,"messages":HELLO}',
    ],
)
def test_what_a_person_wrote_or_what_changes_each_time_is_not(body: str) -> None:
    assert not learnt(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m"}',
        '{"messages":HELLO,"messages":0}',
        '{"messages":HELLO,"mess\\u0061ges":1}',
        '{"provider":{"messages":HELLO},"messages":HELLO}',
        '{"messages":HELLO,"models":["a"]}',
        '{"messages":HELLO,"provider":{"order":["a"]}}',
        '{"messages":"]"}',
        '{"messages":HELLO' + " " * 600 + "}",
        "{" + " " * 600 + '"messages":HELLO}',
    ],
)
def test_a_cut_in_the_wrong_place_teaches_nothing(body: str) -> None:
    assert not learnt(body)


def test_what_is_kept_is_bounded() -> None:
    known = KnownSettings()
    for number in range(3 * KNOWN_MAX):
        body = b'{"max_tokens":%d,"messages":[]}' % number
        parts = cut(body)
        assert parts is not None
        known.learn("terms", parts, msgspec.json.decode(body, type=dict[str, msgspec.Raw]), SETTINGS)
        assert known.find("terms", parts) is SETTINGS
        assert len(known._known) <= KNOWN_MAX
