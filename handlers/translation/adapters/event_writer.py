"""The one way in which decoders write events.

Theory of operation
    A decoder never builds the order of events by hand. It tells an `EventWriter` what it saw, and the writer keeps the laws:
    dense indices, every block closed, usage before the end, one terminal event, nothing after it, all sizes bounded.
    What a decoder cannot read is `Malformed`; a stream that stops short of its own end marker is truncated.
"""

from __future__ import annotations

from typing import Final

import msgspec

from handlers.errors import FailureClass
from handlers.translation.canonical.bound_material import fingerprint
from handlers.translation.canonical.estimate import estimate_tokens
from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Cited,
    Event,
    FinishReason,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Unrecognized,
    UsageReported,
)
from handlers.translation.canonical.usage import NO_USAGE, Usage

CHARACTERS_SLACK: Final = 1024 * 1024
CHARACTERS_PER_TOKEN: Final = 64
OUTPUT_TOKENS_UNKNOWN: Final = 1_000_000
"""An answer longer than the output cap times this, plus the slack, did not come from a model (A52)."""
BLOCKS_MAX: Final = 4_096
"""Blocks in one answer: parallel tool calls are tens at most."""
BLOCK_CHARACTERS_MAX: Final = 16 * 1024 * 1024
"""Of one text or one tool call: an agent may write a whole file."""
MINTED_MAX: Final = 512
"""Pieces of provider-bound material that are reported of one answer."""
# Looked up once: CPython 3.11 runs Python code to find a member of an enumeration.
_TOOL_CALL: Final = BlockKind.TOOL_CALL
_REASONING: Final = BlockKind.REASONING
_PROVED = frozenset({_REASONING, _TOOL_CALL, BlockKind.TEXT})
"""Blocks whose proof goes back to its maker; of others it is a picture or a sound."""
NO_CHOICES: Final = frozenset[int]()


class Malformed(ValueError):
    """The provider's answer breaks its own format or one of our limits."""


class EventWriter:
    """Collects the events of one answer and keeps the laws about their order."""

    __slots__ = (
        "_characters",
        "_characters_left",
        "_events",
        "_final_usage",
        "_open",
        "_output_tokens",
        "_prompt_tokens",
        "_proofs",
        "_reasoning_tokens",
        "_reported",
        "_started",
        "_tool_choices",
        "blocks",
        "ended",
        "finished",
    )

    def __init__(self, prompt_tokens: int) -> None:
        self._events: list[Event] = []
        self._proofs: dict[int, list[str]] = {}
        """Pieces of provider-bound material, by block."""
        self._open: dict[int, BlockKind] = {}
        self._characters: list[int] = []
        """Of every block."""
        self._characters_left = CHARACTERS_PER_TOKEN * OUTPUT_TOKENS_UNKNOWN + CHARACTERS_SLACK
        self._prompt_tokens = prompt_tokens
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._reported = NO_USAGE
        self._final_usage = False
        self._started = False
        self.blocks = 0
        self.ended = False
        self.finished = NO_CHOICES
        """Choices that have their finish reason."""
        self._tool_choices = NO_CHOICES
        """Choices that called a tool."""

    def limit_output(self, tokens: int) -> None:
        """The output cap that was asked for bounds the answer's length."""
        self._characters_left = CHARACTERS_PER_TOKEN * tokens + CHARACTERS_SLACK

    def take(self) -> list[Event]:
        """The events since the last call."""
        events = self._events
        self._events = []
        return events

    def start(self, response_id: str = "", model: str = "", created: int = 0) -> None:
        """The answer begins; later calls change nothing."""
        if not self._started:
            self._started = True
            self._emit(ResponseStarted(response_id, model, created))

    def open(
        self,
        kind: BlockKind,
        choice: int = 0,
        *,
        block_id: str = "",
        name: str = "",
        form: str = "",
        origin: str = "",
    ) -> int:
        """Begin a block; its index."""
        if self.blocks >= BLOCKS_MAX:
            raise Malformed("too many blocks")
        if not self._started:
            self.start()
        index = self.blocks
        self.blocks += 1
        self._open[index] = kind
        self._characters.append(0)
        if kind is _TOOL_CALL:
            self._tool_choices |= {choice}
            self._output_tokens += estimate_tokens(name)
        self._emit(BlockStarted(index, kind, choice, block_id, name, form, origin))
        return index

    def text(self, index: int, text: str) -> None:
        """More of a block."""
        if not text or self.ended:
            return
        self.count(index, text)
        self._events.append(BlockDelta(index, text))

    def count(self, index: int, text: str) -> None:
        """The book-keeping of `text` without its event, for a text that goes to the client as it is."""
        kind = self._open.get(index)
        if kind is None:
            raise Malformed("text after its block")
        characters = self._characters[index] + len(text)
        self._characters_left -= len(text)
        if characters > BLOCK_CHARACTERS_MAX or self._characters_left < 0:
            raise Malformed("answer too long")
        self._characters[index] = characters
        if kind is _REASONING:
            self._reasoning_tokens += estimate_tokens(text)
        else:
            self._output_tokens += estimate_tokens(text)

    def proof(self, index: int, *, signature: str = "", data: str = "") -> None:
        """A signature, encrypted reasoning or media of a block."""
        if signature or data:
            if self._open.get(index) in _PROVED:
                self._proofs.setdefault(index, []).append(signature or data)
            self._emit(BlockDelta(index, "", signature, data))

    @property
    def minted(self) -> tuple[str, ...]:
        """Fingerprints of the provider-bound material so far: of pieces, and of what they make together."""
        pieces = [piece for found in self._proofs.values() for piece in {*found, "".join(found)}]
        return tuple(fingerprint(piece) for piece in pieces[:MINTED_MAX])

    def emit(self, event: Cited | BlockDelta | Unrecognized) -> None:
        """An event that needs no book-keeping."""
        self._emit(event)

    def stop(self, index: int) -> None:
        """A block is complete; a second call changes nothing."""
        if self._open.pop(index, None) is not None:
            self._emit(BlockStopped(index))

    def stop_all(self) -> None:
        """Every open block is complete."""
        for index in list(self._open):
            self.stop(index)

    def characters(self, index: int) -> int:
        """How much text the block has."""
        return self._characters[index]

    def is_open(self, index: int) -> bool:
        """Whether the block may still grow."""
        return index in self._open

    def report(self, usage: Usage, *, final: bool) -> None:
        """The provider's own counters so far; `final` when they cover the whole answer."""
        self._final_usage = final or self._final_usage
        if usage != self._reported:
            self._reported = usage
            self._emit(UsageReported(usage))

    def finish(self, reason: FinishReason, choice: int = 0, *, native: str = "", stop_sequence: str = "") -> None:
        """A choice is over; a second reason for the same choice changes nothing."""
        if choice in self.finished or self.ended:
            return
        self.start()
        self.finished |= {choice}
        if choice in self._tool_choices and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        self._emit(ChoiceFinished(reason, choice, native, stop_sequence))

    def complete(self) -> None:
        """The provider said that it is done: counters it has sent by now are its last word."""
        self._final_usage = self._final_usage or self._reported is not NO_USAGE
        self._end(ResponseCompleted())

    def fail(self, failure: FailureClass, *, retry_after_ms: int = 0, param: str = "", message: str = "") -> None:
        """The attempt failed."""
        self._end(ResponseFailed(failure, retry_after_ms, param, message))

    def unrecognized(self, what: str) -> None:
        """Count something that we know no meaning for."""
        self._emit(Unrecognized(what))

    @property
    def usage(self) -> Usage:
        """The provider's counters; while they are not final, raised to what we saw and marked as estimated."""
        if self._final_usage:
            return self._reported
        if self._reported is NO_USAGE and not self.blocks and not self.finished:
            return NO_USAGE
        reported = self._reported
        return msgspec.structs.replace(
            reported,
            input=reported.input if reported.prompt_tokens else self._prompt_tokens,
            output=max(reported.output, self._output_tokens),
            reasoning=max(reported.reasoning, self._reasoning_tokens),
            estimated=True,
        )

    def _emit(self, event: Event) -> None:
        """The next event; nothing follows a terminal one."""
        if not self.ended:
            self._events.append(event)

    def _end(self, event: ResponseCompleted | ResponseFailed) -> None:
        if self.ended:
            return
        self.stop_all()
        self.ended = True
        self._events.append(UsageReported(self.usage))
        self._events.append(event)
