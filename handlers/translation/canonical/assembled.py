"""A whole answer, put together from its events: for clients that did not ask for a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from handlers.translation.canonical.events import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    ChoiceFinished,
    Cited,
    Event,
    FinishReason,
    ResponseStarted,
    UsageReported,
)
from handlers.translation.canonical.usage import NO_USAGE, Usage


@dataclass(slots=True)
class Block:
    """One block, growing."""

    kind: BlockKind
    choice: int
    id: str
    name: str
    form: str
    origin: str = ""
    pieces: list[str] = field(default_factory=list)
    signature: str = ""
    data_pieces: list[str] = field(default_factory=list)
    citations: list[Cited] = field(default_factory=list)
    logprobs: list[msgspec.Raw] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.pieces)

    @property
    def data(self) -> str:
        """All of its encrypted reasoning or media."""
        return "".join(self.data_pieces)


@dataclass(slots=True)
class Answer:
    """What the provider answered."""

    id: str = ""
    model: str = ""
    created: int = 0
    blocks: list[Block] = field(default_factory=list)
    finishes: dict[int, ChoiceFinished] = field(default_factory=dict)
    usage: Usage = NO_USAGE

    def add(self, event: Event) -> None:
        """The next event; terminal ones and unrecognized pieces change nothing."""
        match event:
            case BlockDelta(index, text, signature, data, logprobs):
                block = self.blocks[index]
                if text:
                    block.pieces.append(text)
                if data:
                    block.data_pieces.append(data)
                if logprobs is not None:
                    block.logprobs.append(logprobs)
                block.signature += signature
            case BlockStarted(_, kind, choice, block_id, name, form, origin):
                self.blocks.append(Block(kind, choice, block_id, name, form, origin))
            case Cited():
                self.blocks[event.index].citations.append(event)
            case ResponseStarted(response_id, model, created):
                self.id, self.model, self.created = response_id, model, created
            case UsageReported(usage):
                self.usage = usage
            case ChoiceFinished():
                self.finishes[event.choice] = event
            case _:
                pass

    def choices(self) -> list[int]:
        """The indices of all choices, ascending; at least one."""
        return sorted({block.choice for block in self.blocks} | set(self.finishes)) or [0]

    def of(self, choice: int, *kinds: BlockKind) -> list[Block]:
        """The blocks of one choice, of these kinds."""
        return [block for block in self.blocks if block.choice == choice and block.kind in kinds]

    def text(self, choice: int, *kinds: BlockKind) -> str:
        """The joined text of those blocks."""
        return "".join(block.text for block in self.of(choice, *kinds))

    def finish(self, choice: int = 0) -> ChoiceFinished:
        """Why the choice ended."""
        return self.finishes.get(choice) or ChoiceFinished(FinishReason.STOP, choice)
