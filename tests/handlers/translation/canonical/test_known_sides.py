"""What is kept of bodies: little, exact, and nothing that a person wrote."""

from __future__ import annotations

import pytest

from handlers.translation.canonical.known_sides import KNOWN_MAX, KnownSides
from handlers.translation.passthrough.known_settings import Settings, Terms, terms_of
from tests.handlers.translation.passthrough.test_openai_chat import OTHER, TARGET, asked

SETTINGS = Settings(b',"model":"m"}', (), include_usage=False, output_tokens_max=0, exclude_reasoning=False)
TERMS = (TARGET, True, False)
HELLO = '[{"role":"user","content":"hi"}]'


def learnt(body: str) -> bool:
    """Whether a body like this one, with messages for `HELLO`, would be known the next time."""
    written = body.replace("HELLO", HELLO).encode()
    known = KnownSides[Terms, Settings]()
    known.learn(TERMS, written, SETTINGS)
    for other in ((OTHER, True, False), (TARGET, False, False), (TARGET, True, True)):
        assert known.find(other, written) is None
    found = known.find(TERMS, written)
    if found is None:
        return False
    assert (found[0], bytes(found[1]).strip()) == (SETTINGS, HELLO.encode())
    return True


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
    known = KnownSides[Terms, Settings]()
    for number in range(3 * KNOWN_MAX):
        body = b'{"max_tokens":%d,"messages":[]}' % number
        known.learn(TERMS, body, SETTINGS)
        assert known.find(TERMS, body) is not None
        assert len(known._known) <= KNOWN_MAX


def test_a_clamped_cap_is_for_one_request_alone() -> None:
    assert terms_of(asked("", output_tokens_max=5)) is None
    assert terms_of(asked("")) == TERMS
