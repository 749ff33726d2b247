"""The strict gate: what gets in, and what a refusal names."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from handlers.errors import ClientError, InvalidRequest, TheRouterError, UnsupportedMediaType
from handlers.gateway import gate
from handlers.gateway.call import Call
from handlers.gateway.gate import DEPTH_MAX, decode_fields, read_call
from handlers.gateway.routes import ROUTES
from handlers.gateway.routing_fields import STEERING

CHAT = ROUTES[b"/v1/chat/completions"]
JSON = b"application/json"


def read(body: bytes, content_type: bytes | None = JSON) -> Call:
    return read_call(CHAT, b"/v1/chat/completions", b"/v1/chat/completions", content_type, body)


def refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    return caught.value


def nested(levels: int) -> bytes:
    return b'{"model":"m","x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_reads_only_what_routing_needs() -> None:
    body = b'{"model":"a/b","models":["c/d","a/b"],"stream":true,"max_tokens":7,"n":2,"messages":[{"any":"thing"}]}'
    call = read(body)
    assert call.models == ("a/b", "c/d")
    assert (call.stream, call.output_cap, call.choices) == (True, 7, 2)
    assert call.body is body


@pytest.mark.claim("A32")
@pytest.mark.parametrize(
    ("levels", "accepted"), [(DEPTH_MAX, True), (DEPTH_MAX + 1, False), (500, False), (100_000, False)]
)
def test_a32_nesting_is_bounded(levels: int, accepted: bool) -> None:
    if accepted:
        assert read(nested(levels)).models == ("m",)
    else:
        assert refusal(nested(levels)).code in {"too_deep", "invalid_json"}


@pytest.mark.claim("A32")
def test_a32_brackets_inside_strings_do_not_count() -> None:
    text = msgspec.json.encode("[{" * 500 + '\\"' * 40)
    assert read(b'{"model":"m","messages":[{"role":"user","content":' + text + b"}]}").models == ("m",)


@pytest.mark.claim("A32")
def test_a32_wide_bodies_are_not_deep() -> None:
    assert read(b'{"model":"m","x":[' + b",".join([b'{"a":[1]}'] * 5_000) + b"]}").models == ("m",)


@pytest.mark.claim("A33")
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"+1", b"0x10"])
def test_a33_numbers_outside_the_grammar_are_refused(number: bytes) -> None:
    assert refusal(b'{"model":"m","temperature":' + number + b"}").code == "invalid_json"


@pytest.mark.claim("A33", "A39")
@pytest.mark.parametrize(
    "value", [b"-1", b"0", b"9223372036854775808", b"1e400", b"1.5", b"true", b'"5"', b"[]", b"{}"]
)
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n"])
def test_a39_caps_are_whole_numbers_in_range(field: str, value: bytes) -> None:
    error = refusal(b'{"model":"m","' + field.encode() + b'":' + value + b"}")
    assert error.param == field


@pytest.mark.claim("A34")
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","messages":[],"model":"a"}',
        b'{"stream":true,"model":"m","stream":false}',
        b'{"model":"m","max_tokens":1,"x":"\\"model\\"","max_tokens":2}',
    ],
)
def test_a34_a_routing_field_that_comes_twice_is_refused(body: bytes) -> None:
    assert refusal(body).code == "duplicate_field"


@pytest.mark.claim("A34")
def test_a34_the_same_word_deeper_down_is_no_duplicate() -> None:
    body = b'{"model":"m","metadata":{"model":"x"},"tools":[{"model":"y","stream":1}],"messages":"say \\"model\\""}'
    assert read(body).models == ("m",)


@pytest.mark.claim("A35")
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","x":"\\ud800"}',
        b'{"model":"m","x":"\\udc00\\ud800"}',
        b'{"model":"m","x":"\\uD83D text"}',
        b'{"model":"m","x":"\xff"}',
        b'{"model":"m","x":"\xc0\xaf"}',
        b'\xef\xbb\xbf{"model":"m"}',
        '{"model":"m"}'.encode("utf-16"),
        b'{"model":"m"} trailing',
        b'{"model":"m",}',
        b"",
        b"null",
        b'"m"',
        b"[1]",
    ],
)
def test_a35_only_plain_utf8_json_objects(body: bytes) -> None:
    assert refusal(body).http_status == 400


@pytest.mark.claim("A35")
def test_a35_whole_pairs_and_escaped_backslashes_pass() -> None:
    assert read(b'{"model":"m","x":"\\ud83d\\ude00 and \\\\ud800"}').models == ("m",)
    assert read('{"model":"m","x":"😀 漢字"}'.encode()).models == ("m",)


@pytest.mark.claim("A37")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", b"5"), ("model", b"true"), ("model", b"[]"), ("model", b'""'), ("models", b'"a"'), ("models", b"[1]"),
        ("stream", b"1"), ("stream", b'"true"'), ("provider", b"[]"), ("provider", b'{"order":"openai"}'),
        ("provider", b'{"unknown":1}'), ("provider", b'{"zdr":1}'), ("provider", b'{"sort":"speed"}'),
        ("provider", b'{"max_price":{"prompt":-1}}'), ("session_id", b"7"), ("route", b'"other"'),
    ],
)  # fmt: skip
def test_a37_types_are_exact(field: str, value: bytes) -> None:
    body = (
        b'{"model":"m","' + field.encode() + b'":' + value + b"}" if field != "model" else b'{"model":' + value + b"}"
    )
    error = refusal(body)
    assert error.param is not None
    assert error.param.startswith(field)


@pytest.mark.claim("A38", "A47")
@pytest.mark.parametrize("field", sorted(STEERING))
@pytest.mark.parametrize("value", [b'"http://127.0.0.1/"', b"{}", b"[]", b"1", b"false"])
def test_a38_fields_that_would_steer_us_are_refused(field: str, value: bytes) -> None:
    error = refusal(b'{"model":"m","' + field.encode() + b'":' + value + b"}")
    assert (error.code, error.param) == ("steering_field", field)


def test_the_model_is_required_and_named() -> None:
    assert refusal(b"{}").param == "model"


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"])
def test_only_json_is_read(content_type: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read(b'{"model":"m"}', content_type)


def test_needs_follow_from_the_request() -> None:
    shape = b'{"type":"json_schema","json_schema":{}}'
    assert read(b'{"model":"m","tools":[{}],"response_format":' + shape + b"}").needs == {"tools", "json_schema"}
    assert read(b'{"model":"m","tools":[],"response_format":{"type":"text"}}').needs == frozenset()


@pytest.mark.claim("A36", "A37")
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        decode_fields(body)
    except ClientError as error:
        assert error.http_status == 400  # noqa: PT017 - the point is that nothing else escapes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key not in STEERING), json_values, max_size=5))
def test_any_json_object_without_our_fields_passes(content: dict[str, object]) -> None:
    known = set(decode_fields(b"{}").__struct_fields__)
    others = {key: value for key, value in content.items() if key not in known}
    assert read(msgspec.json.encode({**others, "model": "m"})).models == ("m",)


@pytest.mark.claim("C17", "C19")
@given(st.text(min_size=8, max_size=40))
def test_no_refusal_quotes_a_value(secret: str) -> None:
    for field in ("model", "stream", "max_tokens", "provider", "models"):
        body = msgspec.json.encode({field: {"k": secret}, "session_id": [secret]})
        error = refusal(body)
        assert secret not in error.message
        assert secret not in (error.param or "")
    own_words = refusal(b'{"model":"m","provider":{"another":1}}').message
    assume(secret.lower() not in own_words.lower())  # by chance it is a part of what may be said
    for fields in ({"route": secret}, {"provider": {"sort": secret}}, {"provider": {secret: 1}}):
        error = refusal(msgspec.json.encode({"model": "m", **fields}))
        assert secret.lower() not in error.message.lower()
        assert error.param in {"route", "provider.sort", "provider"}


def test_a_refusal_names_what_is_accepted() -> None:
    error = refusal(b'{"model":"m","provider":{"sort":"speed"}}')
    assert (error.param, error.message) == ("provider.sort", "provider.sort must be one of latency, price, throughput.")
    assert "data_collection" in refusal(b'{"model":"m","provider":{"unknown":1}}').message


def test_fallbacks_are_models_in_another_spelling() -> None:
    assert read(b'{"model":"a/b","fallbacks":[{"model":"c/d"},"e/f"]}').models == ("a/b", "c/d", "e/f")
    assert refusal(b'{"model":"a/b","fallbacks":["c/d"],"models":["e/f"]}').param == "fallbacks"
    assert refusal(b'{"model":"a/b","fallbacks":["c","d","e","f"]}').param == "fallbacks"


SIDES = [
    '{"model":"a/b","messages":GAP,"temperature":0.5,"max_tokens":7}',
    '{"stream":true,"messages": GAP ,"model":"m"}',
]
GAPS = [
    '[{"role":"user","content":"hi"}]',
    '[{"role":"user","content":"\\ud83d\\ude00 \\u0041"}]',
    '[{"role":"user","content":"\\ud800"}]',
    '[{"role":"user","content":"\\\\ud800"}]',
    '[{"role":"user","content":"x"}],"model":"c/d"',
    '[{"role":"user","content":"x"}],"messages":[{"role":"user","content":"y"}]',
    '[{"role":"user","content":"x"}],"api_base":"http://elsewhere/[]"',
    '[{"role":"user","content":"x"}]}{"a":[]',
    '[{"role":"user","content":"x","signature":"s"}]',
    '[{"role":"user","content":NaN}]',
    "[" * 70 + "]" * 70,
    "[]",
    '{"a":[]}',
    '"]"',
    "0",
    "",
]


@pytest.mark.claim("A32", "A38", "A47")
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("sides", SIDES)
def test_a32_a38_a_body_with_known_settings_is_judged_as_any_other(sides: str, gap: str) -> None:
    for body in (sides.replace("GAP", gap).encode(), sides.replace("GAP", gap.replace("x", "\xff")).encode("latin-1")):
        gate._known_calls._known.clear()
        first = outcome(body)
        assert read(sides.replace("GAP", GAPS[0]).replace("hi", "learn this").encode()).models
        assert outcome(body) == first


def outcome(body: bytes) -> Call | tuple[str, str | None, str]:
    """The call without the mark of its kind, or what is wrong."""
    try:
        return msgspec.structs.replace(read(body), known_as=None)
    except TheRouterError as error:
        return error.code, error.param, error.message


def test_what_is_known_of_calls_are_their_settings() -> None:
    first, second, other = (
        read(SIDES[at].replace("GAP", gap).encode()) for at, gap in ((0, GAPS[0]), (0, GAPS[1]), (1, "[]"))
    )
    third = read(SIDES[0].replace("GAP", '[{"role":"user","content":"again"}]').encode())
    assert second.known_as is third.known_as is not None
    assert other.known_as is None
    assert (third.models, third.output_cap) == (first.models, first.output_cap)
    assert b"again" in third.body
