from __future__ import annotations

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import Usage
from handlers.transport.frames import decode_head, decode_request, decode_usage, encode_json
from handlers.transport.wire import FRAME_BYTES_MAX, FrameKind, WireEnd, WireHead
from tests.handlers.transport.recorders import wire_request


def test_messages_survive_a_round_trip() -> None:
    assert decode_request(encode_json(wire_request())) == wire_request()
    head = WireHead(200, "text/event-stream", {"x-therouter-warnings": "dropped: seed"})
    assert decode_head(encode_json(head)) == head
    usage = Usage(input=3, output=4, estimated=True)
    assert decode_usage(encode_json(usage)) == usage
    end = WireEnd(usage=usage, failure=FailureClass.TIMEOUT)
    assert msgspec.json.decode(encode_json(end), type=WireEnd) == end


def test_a_request_without_token_or_deadlines_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_request(b'{"request_id":"r"}')


def test_kinds_fit_their_byte_and_frames_their_length() -> None:
    assert all(0 < kind < 256 for kind in FrameKind)
    assert FRAME_BYTES_MAX < 2**32
