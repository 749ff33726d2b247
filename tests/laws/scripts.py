"""Canonical answers, as event scripts: what every dialect must be able to tell."""

from __future__ import annotations

from handlers.errors import FailureClass
from handlers.translation.adapters.event_writer import EventWriter
from handlers.translation.canonical.events import BlockKind, Event, FinishReason
from handlers.translation.canonical.usage import Usage
from tests.laws.made import HOSTILE_TEXT

USAGE = Usage(input=12, cache_read=5, output=7)
THOUGHTFUL = Usage(input=12, output=7, reasoning=4)


def text() -> EventWriter:
    writer = EventWriter(7)
    writer.start("r-1", "model-1", 5)
    block = writer.open(BlockKind.TEXT)
    writer.text(block, HOSTILE_TEXT)
    writer.text(block, " and more")
    return writer


def finished(writer: EventWriter, reason: FinishReason = FinishReason.STOP, usage: Usage = USAGE) -> list[Event]:
    writer.stop_all()
    writer.finish(reason)
    writer.report(usage, final=True)
    writer.complete()
    return writer.take()


def calls(*, interleaved: bool) -> list[Event]:
    writer = text()
    writer.stop(0)
    first = writer.open(BlockKind.TOOL_CALL, block_id="call_1", name="look")
    writer.text(first, '{"a"')
    if not interleaved:
        writer.text(first, ":1}")
        writer.stop(first)
    second = writer.open(BlockKind.TOOL_CALL, block_id="call_2", name="leap")
    writer.text(second, '{"b":')
    if interleaved:
        writer.text(first, ":1}")
    writer.text(second, "[2]}")
    writer.stop(second)
    third = writer.open(BlockKind.TOOL_CALL, block_id="call_3", name="rest")
    writer.stop(third)
    return finished(writer, FinishReason.TOOL_CALLS)


def reasoned() -> list[Event]:
    writer = EventWriter(7)
    writer.start("r-1", "model-1", 5)
    thought = writer.open(BlockKind.REASONING, form="text")
    writer.text(thought, "hm ")
    writer.text(thought, "so")
    writer.stop(thought)
    block = writer.open(BlockKind.TEXT)
    writer.text(block, "Yes.")
    return finished(writer, usage=THOUGHTFUL)


def empty() -> list[Event]:
    writer = EventWriter(7)
    writer.start("r-1", "model-1", 5)
    return finished(writer)


SCRIPTS: dict[str, list[Event]] = {
    "text": finished(text()),
    "cut by length": finished(text(), FinishReason.LENGTH),
    "calls": calls(interleaved=False),
    "interleaved calls": calls(interleaved=True),
    "reasoned": reasoned(),
    "empty": empty(),
}


def failing(failure: FailureClass) -> list[Event]:
    """Content, and then a failure."""
    writer = text()
    writer.fail(failure)
    return writer.take()
