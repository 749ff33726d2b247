"""Reads answers in Google's Interactions format, so that what the dialect writes can be compared with what was meant.

No provider is asked in this format, so this reader serves the laws alone.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Built
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.events import BlockKind, FinishReason
from handlers.translation.canonical.request import CanonicalRequest
from handlers.translation.canonical.usage import Usage

_FINISH = {
    "completed": FinishReason.STOP,
    "requires_action": FinishReason.TOOL_CALLS,
    "incomplete": FinishReason.LENGTH,
}
_KINDS = {"model_output": BlockKind.TEXT, "thought": BlockKind.REASONING, "function_call": BlockKind.TOOL_CALL}


class InteractionsDecoder(JsonDecoder):
    def __init__(self, *, streams: bool) -> None:
        super().__init__(streams=streams, prompt_tokens=0)
        self._open: dict[int, int] = {}

    def read(self, data: bytes, event: bytes) -> None:
        if data == b"[DONE]":
            return
        fields = msgspec.json.decode(data)
        if not isinstance(fields, dict):
            raise Malformed("no object")
        if not self.streams:
            self._whole_answer(fields)
            return
        assert fields["event_type"] == event.decode()
        match fields["event_type"]:
            case "interaction.created":
                self.writer.start(fields["interaction"]["id"], fields["interaction"]["model"])
            case "step.start":
                self._start(fields["index"], fields["step"])
            case "step.delta":
                self._delta(fields["index"], fields["delta"])
            case "step.stop":
                self.writer.stop(self._open.pop(fields["index"]))
            case "interaction.completed":
                self._completed(fields["interaction"])
            case "error":
                self.writer.fail(FailureClass.SERVER_ERROR)

    def end(self) -> None:
        self.writer.fail(FailureClass.TRUNCATED)

    def _start(self, number: int, step: dict[str, Any]) -> None:
        kind = _KINDS[step["type"]]
        self._open[number] = self.writer.open(
            kind,
            block_id=step.get("id") or "",
            name=step.get("name") or "",
            form="summary" if kind is BlockKind.REASONING else "",
        )

    def _delta(self, number: int, delta: dict[str, Any]) -> None:
        text = delta.get("text") or delta.get("arguments") or (delta.get("content") or {}).get("text") or ""
        self.writer.text(self._open[number], text)

    def _whole_answer(self, fields: dict[str, Any]) -> None:
        self.writer.start(fields["id"], fields["model"])
        for number, step in enumerate(fields["steps"]):
            self._start(number, step)
            if step["type"] == "function_call":
                self.writer.text(self._open[number], msgspec.json.encode(step["arguments"]).decode())
            for part in (step.get("content") or []) + (step.get("summary") or []):
                self.writer.text(self._open[number], part["text"])
            self.writer.stop(self._open.pop(number))
        self._completed(fields)

    def _completed(self, fields: dict[str, Any]) -> None:
        counts = fields["usage"]
        cached = counts["total_cached_tokens"]
        usage = Usage(
            input=counts["total_input_tokens"] - cached,
            cache_read=cached,
            output=counts["total_output_tokens"],
            reasoning=counts["total_thought_tokens"],
        )
        self.writer.finish(_FINISH[fields["status"]])
        self.writer.report(usage, final=True)
        self.writer.complete()


class InteractionsReader:
    """In the place of an adapter: the format is answered by us, and never asked of a provider."""

    name: ClassVar[str] = "google_interactions"

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        raise AssertionError(f"{target.provider} is not asked in this format, whatever {request!r} is")

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> InteractionsDecoder:
        del target, prompt_tokens
        return InteractionsDecoder(streams=streams)
