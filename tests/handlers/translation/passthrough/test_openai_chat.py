"""What a relay has learnt from earlier bodies changes nothing but the time that the next one takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import InvalidRequest
from handlers.translation.canonical.attempt import Asked, UpstreamTarget
from handlers.translation.passthrough.base import Draft
from handlers.translation.passthrough.openai_chat import ChatRelay

TARGET = UpstreamTarget("openai_chat", "model-1", "maker", parameters=frozenset({"temperature", "top_p"}))
OTHER = UpstreamTarget("openai_chat", "model-2", "maker", quirks=frozenset({"max_completion_tokens"}))
HELLO = '[{"role":"user","content":"hi"}]'

MESSAGES = st.sampled_from([
    HELLO,
    '[{"role":"system","content":"be brief"},{"role":"user","content":"\\u4f60\\u597d, 世界 ]}"}]',
    '[{"role":"user","content":[{"type":"text","text":"x"}]}]',
    '[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]',
    '[{"role":"tool","tool_call_id":"c","content":"[1]"}]',
    '[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]',
    '[{"role":"assistant","audio":{"id":"a"},"audio":null}]',
    '[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"b"}]',
    '[{"role":"user","content":"a"}],"store":true,"models":["m"]',
    '[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}]',
    '[{"role":"user","content":"a","messages":[]}]',
    '[{"role":"nobody","content":"a"}]', "[]", "0", "null", "[1]", '[{"role":"user","content":"a"}', "]", ' [ {"role" : "user"} ] ',
])  # fmt: skip
FIELD = st.sampled_from([
    '"model":"m"', '"temperature":0.5', '"temperature":1', '"temperature":3', '"temperature":null', '"max_tokens":10',
    '"max_completion_tokens":20', '"stream":true', '"stream":false', '"stream_options":{"include_usage":true}',
    '"usage":{"include":true}', '"provider":{"order":["a"]}', '"store":true', '"top_k":4', '"user":"somebody"', '"metadata":{"messages":"x"}',
    '"models":["a","b"]', '"reasoning_effort":"low"', '"messages":0', '"messages":1', '"mess\\u0061ges":[]', '"strange":[]',
    '"stop":["x"]', '"previous_response_id":"r"', '"reasoning":{"exclude":true}', '"provider":{"messages":[0]}', ' "n" : 2 ',
])  # fmt: skip
SIDE = st.lists(FIELD, max_size=4)


def asked(body: str | bytes, target: UpstreamTarget = TARGET, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        "dialect": "openai_chat",
        "operation": "chat",
        "upstream": target,
        "body": body.encode() if isinstance(body, str) else body,
        "content_type": "application/json",
        "target": "/v1/chat/completions",
        "client_headers": {},
        "public_model": "author/model",
        "stream": False,
        "stateless": True,
        "output_tokens_max": 0,
        "upstream_stream": False,
        "now_s": 1_700_000_000,
        "response_id": "gen-1",
    }
    return Asked(**(values | changes))


def drafted(relay: ChatRelay, request: Asked) -> tuple[Draft, bytes] | str:
    """The draft and what it would send, but for blanks around the messages."""
    try:
        draft = relay.draft(request)
    except InvalidRequest as refusal:
        return f"{refusal.param}: {refusal.message}"
    body = draft.built.upstream.body
    built = msgspec.structs.replace(draft.built, upstream=msgspec.structs.replace(draft.built.upstream, body=b""))
    return msgspec.structs.replace(draft, built=built), body.replace(b" ", b"")


@given(st.lists(st.tuples(SIDE, SIDE, MESSAGES, MESSAGES), min_size=1, max_size=3))
@settings(max_examples=400)
def test_a_relay_that_has_learnt_says_what_a_new_one_says(bodies: list[tuple[list[str], list[str], str, str]]) -> None:
    learnt = ChatRelay()
    for before, after, *both in bodies:
        for messages in (*both, HELLO, HELLO):
            body = "{" + ",".join([*before, f'"messages":{messages}', *after]) + "}"
            for target in (TARGET, OTHER):
                assert drafted(learnt, asked(body, target)) == drafted(ChatRelay(), asked(body, target))
            mine = asked(body, stateless=False, stream=True, upstream_stream=True)
            assert drafted(learnt, mine) == drafted(ChatRelay(), mine)
            tight = asked(body, output_tokens_max=5)
            assert drafted(learnt, tight) == drafted(ChatRelay(), tight)


def sent(draft: Draft) -> dict[str, Any]:
    pairs: list[tuple[str, Any]] = []
    for key, value in msgspec.json.decode(draft.built.upstream.body, type=dict[str, Any]).items():
        assert draft.built.upstream.body.count(b'"%b":' % key.encode()) == 1, "what was authorised is what is sent"
        pairs.append((key, value))
    return dict(pairs)


@pytest.mark.claim("A34")
def test_a34_of_a_field_that_comes_twice_one_is_sent_the_one_that_was_read() -> None:
    relay = ChatRelay()
    body = '{"temperature":0.1,"model":"a","messages":' + HELLO + ',"temperature":0.9,"model":"b"}'
    for _ in range(3):
        fields = sent(relay.draft(asked(body)))
        assert fields["temperature"] == 0.9
        assert fields["model"] == "model-1"


@pytest.mark.from_source
def test_the_second_body_like_it_is_read_by_its_messages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = ChatRelay()
    body = '{"model":"m","messages":%s,"temperature":0.5,"max_tokens":9}'
    first = relay.draft(asked(body % HELLO))
    monkeypatch.delattr("handlers.translation.passthrough.openai_chat.decode_chat")
    second = relay.draft(asked(body % '[{"role":"user","content":"something else"}]'))
    assert sent(second) == sent(first) | {"messages": [{"role": "user", "content": "something else"}]}
    assert second.output_tokens_max == first.output_tokens_max == 9
    assert second.prompt_tokens > first.prompt_tokens
    with pytest.raises(NameError):
        relay.draft(asked(body % '[{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}]'))


@pytest.mark.claim("A73")
@pytest.mark.parametrize("rest", ['"user":"u"', '"tools":[]', '"temperature":9', '"conversation":"c"', '"stop":[1]'])
def test_a73_plain_messages_are_read_apart_and_the_rest_says_what_it_always_said(rest: str) -> None:
    plain, wordy = HELLO, '[{"role":"user","content":[{"type":"text","text":"hi","cache_control":null}]}]'
    ours, theirs = (drafted(ChatRelay(), asked(f'{{"messages":{one},{rest}}}')) for one in (plain, wordy))
    if isinstance(ours, str) or isinstance(theirs, str):
        assert ours == theirs
    else:
        assert ours[0] == theirs[0]
