from __future__ import annotations

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage
from handlers.transport.frames import (
    KNOWN_TERMS_BYTES_MAX,
    MalformedFrame,
    decode_head,
    decode_request,
    decode_usage,
    encode_json,
    encode_request,
)
from handlers.transport.wire import FRAME_BYTES_MAX, LAST_CHANCE_MS, FrameKind, WireEnd, WireHead
from tests.handlers.transport.recorders import wire_request


def test_messages_survive_a_round_trip() -> None:
    assert decode_request(encode_request(wire_request())) == wire_request()
    head = WireHead(200, "text/event-stream", {"x-therouter-warnings": "dropped: seed"})
    assert decode_head(encode_json(head)) == head
    usage = Usage(input=3, output=4, estimated=True)
    assert decode_usage(encode_json(usage)) == usage
    end = WireEnd(usage=usage, failure=FailureClass.TIMEOUT)
    assert msgspec.json.decode(encode_json(end), type=WireEnd) == end


def test_equal_terms_are_one_object_in_a_pod_and_encoded_once_in_a_gateway() -> None:
    request = wire_request()
    first, second = (decode_request(encode_request(wire_request(name))) for name in ("one", "two"))
    assert first.terms is second.terms
    assert first.request_id != second.request_id
    assert request.terms.encoded is request.terms.encoded


def test_other_terms_are_never_taken_for_those_before() -> None:
    request = wire_request()
    for changed in (
        {"stream": False}, {"endpoint": "m@q"}, {"credential": "byok"}, {"stateless": False}, {"target": "/v1/x"},
        {"client_headers": {"anthropic-beta": "b"}}, {"public_model": "n"}, {"require_parameters": True},
        {"deadlines": msgspec.structs.replace(request.terms.deadlines, total_ms=7)},
    ):  # fmt: skip
        other = msgspec.structs.replace(request, terms=msgspec.structs.replace(request.terms, **changed))
        assert decode_request(encode_request(other)) == other
        assert decode_request(encode_request(request)) == request


def test_long_terms_are_read_anew_each_time() -> None:
    terms = msgspec.structs.replace(
        wire_request().terms, client_headers={"anthropic-beta": "b" * KNOWN_TERMS_BYTES_MAX}
    )
    payload = encode_request(msgspec.structs.replace(wire_request(), terms=terms))
    assert decode_request(payload) == decode_request(payload)
    assert decode_request(payload).terms is not decode_request(payload).terms


def test_one_total_over_all_attempts() -> None:
    patient = msgspec.structs.replace(wire_request().terms.deadlines, total_ms=10_000)
    request = msgspec.structs.replace(
        wire_request(), terms=msgspec.structs.replace(wire_request().terms, deadlines=patient)
    )
    assert request.deadlines is patient
    assert msgspec.structs.replace(request, elapsed_ms=4_000).deadlines.total_ms == 6_000
    assert msgspec.structs.replace(request, elapsed_ms=9_999).deadlines.total_ms == LAST_CHANCE_MS


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"\0\0\0\x05{}", b"\xff\xff\xff\xff{}[]"])
def test_a_request_shorter_than_its_parts_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_request(payload)


@pytest.mark.parametrize(
    "own", [b"", b"[]", b'["r","t","a",1,0,0,""]', b'["r","t","a",1,0,0,"",""]]', b'{"request_id":"r"}']
)
def test_a_request_without_all_of_its_parts_is_refused(own: bytes) -> None:
    terms = wire_request().terms.encoded
    with pytest.raises(msgspec.DecodeError):
        decode_request(len(terms).to_bytes(4, "big") + terms + own)


def test_terms_without_deadlines_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_request(b"\0\0\0\x02{}" + b'["r","t","a",1,0,0,"",""]')


def test_kinds_fit_their_byte_and_frames_their_length() -> None:
    assert all(0 < kind < 256 for kind in FrameKind)
    assert FRAME_BYTES_MAX < 2**32
