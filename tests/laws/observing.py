"""How the laws look at an answer: feed bytes in some splitting, collect events, check their order."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from handlers.translation.adapters.base import Decoder
from handlers.translation.canonical.assembled import Answer
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Cited,
    Event,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Unrecognized,
    UsageReported,
)
from handlers.translation.canonical.usage import NO_USAGE, Usage


def decode(decoder: Decoder, pieces: Iterable[bytes]) -> list[Event]:
    """All events of an answer that arrives in these pieces."""
    events: list[Event] = []
    for piece in pieces:
        events += decoder.receive_data(piece)
    return events + decoder.receive_eof()


def split_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The data in the pieces that these cuts make."""
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def random_splitting(data: bytes, seed: int) -> list[bytes]:
    """A reproducible splitting: sometimes into few pieces, sometimes into many."""
    source = random.Random(seed)
    pieces = source.choice((1, 3, 10, 100))
    return split_at(data, [source.randrange(len(data) + 1) for _ in range(pieces)])


def check_order(events: list[Event]) -> None:
    """Laws 3, 4 and 5: one terminal event, bracketed blocks with dense indices, usage that never falls below zero."""
    terminals = [event for event in events if isinstance(event, ResponseCompleted | ResponseFailed)]
    assert len(terminals) == 1
    assert events[-1] is terminals[0]
    assert sum(isinstance(event, ResponseStarted) for event in events) <= 1
    open_blocks: set[int] = set()
    begun = 0
    finished: set[int] = set()
    for number, event in enumerate(events):
        match event:
            case ResponseStarted():
                assert all(isinstance(before, UsageReported | Unrecognized) for before in events[:number])
            case BlockStarted():
                assert event.index == begun
                begun += 1
                open_blocks.add(event.index)
            case BlockDelta() | Cited():
                assert event.index in open_blocks
            case BlockStopped(index):
                open_blocks.remove(index)
            case UsageReported(usage):
                check_usage(usage)
            case ChoiceFinished():
                assert event.choice not in finished
                finished.add(event.choice)
            case _:
                pass
    assert not open_blocks
    if isinstance(terminals[0], ResponseCompleted):
        assert finished
        assert isinstance(events[-2], UsageReported)


def check_usage(usage: Usage) -> None:
    """Counters are zero or more."""
    for name, value in msgspec.structs.asdict(usage).items():
        assert value >= 0, name


def last_usage(events: list[Event]) -> Usage:
    """What would be billed."""
    return next((event.usage for event in reversed(events) if isinstance(event, UsageReported)), NO_USAGE)


def assemble(events: list[Event]) -> Answer:
    """The whole answer."""
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def summary(events: list[Event]) -> dict[str, object]:
    """What an answer says, whatever way it came: texts, calls, finish reasons, usage."""
    answer = assemble(events)
    blocks = [
        (block.kind.value, block.choice, block.name, block.text or ("{}" if block.name else ""), block.data)
        for block in answer.blocks
    ]
    finishes = {choice: (finish.reason, finish.stop_sequence) for choice, finish in answer.finishes.items()}
    return {"blocks": blocks, "finishes": finishes, "usage": answer.usage}
