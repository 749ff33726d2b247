from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from handlers.translation.framing.aws_event_stream import AwsEventReader, message_bytes
from handlers.translation.framing.sse import FramingError

MESSAGES = (
    message_bytes("contentBlockDelta", b'{"delta":{"text":"a"}}'),
    message_bytes("throttlingException", b"{}", "exception"),
)


def test_our_messages_are_amazons_messages() -> None:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(b"".join(MESSAGES))
    read = [(dict(event.headers), event.payload) for event in buffer]
    assert read[0][0][":event-type"] == "contentBlockDelta"
    assert read[1][0][":exception-type"] == "throttlingException"
    assert read[0][1] == b'{"delta":{"text":"a"}}'


def test_any_splitting_reads_the_same() -> None:
    stream = b"".join(MESSAGES)
    source = random.Random(1)
    for _ in range(100):
        reader = AwsEventReader()
        places = [0, *sorted(source.randrange(len(stream)) for _ in range(source.randrange(9))), len(stream)]
        frames = [f for a, b in pairwise(places) for f in reader.receive_data(stream[a:b])]
        assert [frame.event for frame in frames] == [b"contentBlockDelta", b"throttlingException"]
        assert reader.receive_eof() == []


def test_every_flipped_bit_is_noticed() -> None:
    message = MESSAGES[0]
    for at in range(len(message)):
        broken = message[:at] + bytes([message[at] ^ 0x10]) + message[at + 1 :]
        with pytest.raises(FramingError):
            AwsEventReader().receive_data(broken + message)
