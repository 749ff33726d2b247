"""OpenAI Responses, answers: events or one response -> events.

An answer is a list of output items; messages hold parts, reasoning items hold summaries and, at their end, the encrypted
reasoning that must go back. Deltas name their item by `output_index` and their part by `content_index`. Items of tools that
run at the provider have no counterpart elsewhere: searches are counted, the others are unrecognized.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.adapters.failures import classify_error
from handlers.translation.adapters.openai_answer_fields import OpenaiUsage
from handlers.translation.adapters.openai_usage import usage_from_openai
from handlers.translation.canonical.events import BlockKind, Cited, FinishReason

_INCOMPLETE = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None


class _Item(msgspec.Struct, gc=False):
    type: str
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: Any = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    result: Any = None
    output_format: str | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created_at: int | float | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: OpenaiUsage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    item: _Item | None = None
    response: _Response | None = None
    annotation: Any = None
    text: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)
# Delta events and the block that each feeds.
_DELTAS: dict[str, tuple[BlockKind, str]] = {
    "response.output_text.delta": (BlockKind.TEXT, ""),
    "response.refusal.delta": (BlockKind.REFUSAL, ""),
    "response.reasoning_summary_text.delta": (BlockKind.REASONING, "summary"),
    "response.reasoning_text.delta": (BlockKind.REASONING, "text"),
    "response.function_call_arguments.delta": (BlockKind.TOOL_CALL, ""),
    "response.custom_tool_call_input.delta": (BlockKind.TOOL_CALL, ""),
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_SPOKEN = frozenset({BlockKind.TEXT, BlockKind.REFUSAL})
_CALLS = frozenset({"function_call", "custom_tool_call"})
# Events that repeat what deltas and items have said.
_REPEATS = (".done", ".added", ".in_progress", ".queued", ".created")


class ResponsesDecoder(JsonDecoder):
    """Reads a stream of events, or one response."""

    __slots__ = ("_blocks", "_items", "_searches")

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self._blocks: dict[tuple[int, BlockKind, int], int] = {}
        """(output index, kind, part index) -> our block."""
        self._items: dict[int, str] = {}
        """Output index -> item id."""
        self._searches = 0

    def read(self, data: bytes, event: bytes) -> None:
        """One event, or the whole response."""
        if not self.streams:
            self._whole_response(_RESPONSE.decode(data), data)
            return
        if data == b"[DONE]":
            return
        read = _EVENT.decode(data)
        kind = read.type or event.decode()
        fed = _DELTAS.get(kind)
        if fed is not None:
            self._delta(read, *fed)
        elif kind == "response.output_item.added" and read.item is not None:
            self._item_added(read.output_index, read.item)
        elif kind == "response.output_item.done" and read.item is not None:
            self._item_done(read.output_index, read.item)
        elif kind == "response.output_text.annotation.added":
            self._cite(self._block(read.output_index, BlockKind.TEXT, read.content_index), read.annotation)
        elif kind in _ENDS and read.response is not None:
            self._end(read.response, data)
        elif kind == "error":
            self._fail(data)
        elif kind in {"response.created", "response.in_progress"} and read.response is not None:
            self._start(read.response)
        elif not kind.endswith(_REPEATS):
            self.writer.unrecognized("event")

    def end(self) -> None:
        """The last event closes an answer; without it, it is cut."""
        self.writer.fail(FailureClass.TRUNCATED)

    def _start(self, response: _Response) -> None:
        self.model = self.model or response.model or ""
        self.response_id = self.response_id or response.id or ""
        self.writer.start(self.response_id, self.model, int(response.created_at or 0))

    def _fail(self, data: bytes) -> None:
        failed = classify_error(200, data)
        self.writer.fail(failed.failure, retry_after_ms=failed.retry_after_ms, param=failed.param)

    def _whole_response(self, response: _Response, data: bytes) -> None:
        if response.output is None and response.error is None:
            raise Malformed("no output")
        self._start(response)
        self._end(response, data)

    def _end(self, response: _Response, data: bytes) -> None:
        if response.error is not None or response.status in {"failed", "cancelled"}:
            self._fail(data)
            return
        self._start(response)
        if not self.writer.blocks:
            for index, item in enumerate(response.output or ()):
                self._item_added(index, item)
                self._item_done(index, item)
        if response.usage is not None:
            usage = usage_from_openai(response.usage)
            self.writer.report(msgspec.structs.replace(usage, searches=usage.searches + self._searches), final=True)
        self.writer.stop_all()
        reason = response.incomplete_details.reason if response.incomplete_details else None
        if response.status == "incomplete":
            self.writer.finish(_INCOMPLETE.get(reason or "", FinishReason.LENGTH), native=reason or "incomplete")
        else:
            self.writer.finish(FinishReason.STOP, native=response.status or "completed")
        self.writer.complete()

    def _block(self, output: int, kind: BlockKind, part: int, form: str = "") -> int:
        key = (output, kind, part)
        index = self._blocks.get(key)
        if index is None:
            if kind is BlockKind.TOOL_CALL:
                raise Malformed("arguments without a call")
            origin = "openai" if kind is BlockKind.REASONING else ""
            index = self.writer.open(
                kind, block_id=self._items.get(output, "") if origin else "", form=form, origin=origin
            )
            self._blocks[key] = index
        return index

    def _delta(self, event: _Event, kind: BlockKind, form: str) -> None:
        if not isinstance(event.delta, str):
            raise Malformed("delta")
        if not event.delta:
            return
        part = event.content_index if kind in {BlockKind.TEXT, BlockKind.REFUSAL} else 0
        index = self._block(event.output_index, kind, part, form)
        if not self.writer.is_open(index):
            raise Malformed("delta after its item")
        self.writer.text(index, event.delta)

    def _item_added(self, output: int, item: _Item) -> None:
        if item.id:
            self._items[output] = item.id
        if item.type in _CALLS:
            if not item.name:
                raise Malformed("call without a name")
            index = self.writer.open(BlockKind.TOOL_CALL, block_id=item.call_id or item.id or "", name=item.name)
            self._blocks[output, BlockKind.TOOL_CALL, 0] = index
        elif item.type == "web_search_call":
            self._searches += 1
        elif item.type not in {"message", "reasoning", "image_generation_call"}:
            self.writer.unrecognized("item")

    def _item_done(self, output: int, item: _Item) -> None:
        """What the deltas have not said, and the end of the item's blocks."""
        if item.type == "message":
            # Some providers count parts otherwise in deltas than here: what has been said once is not said again.
            said = {part for owner, kind, part in self._blocks if owner == output and kind in _SPOKEN}
            for part, content in enumerate(item.content or ()):
                if part in said or not said:
                    self._part_done(output, part, content)
        elif item.type == "reasoning":
            self._reasoning_done(output, item)
        elif item.type in _CALLS:
            key = (output, BlockKind.TOOL_CALL, 0)
            if key not in self._blocks:
                self._item_added(output, item)
            whole = item.arguments if item.type == "function_call" else item.input
            self._complete(self._blocks[key], whole)
        elif item.type == "image_generation_call" and isinstance(item.result, str):
            index = self.writer.open(BlockKind.IMAGE, form=f"image/{item.output_format or 'png'}")
            self.writer.proof(index, data=item.result)
            self.writer.stop(index)
        for (owner, _, _), index in self._blocks.items():
            if owner == output:
                self.writer.stop(index)

    def _part_done(self, output: int, part: int, content: _Part) -> None:
        if content.type == "output_text":
            key = (output, BlockKind.TEXT, part)
            fresh = key not in self._blocks
            if content.text or not fresh:
                index = self._block(output, BlockKind.TEXT, part)
                self._complete(index, content.text)
                for annotation in content.annotations or () if fresh else ():
                    self._cite(index, annotation)
        elif content.type == "refusal":
            self._complete(self._block(output, BlockKind.REFUSAL, part), content.refusal)
        else:
            self.writer.unrecognized("part")

    def _reasoning_done(self, output: int, item: _Item) -> None:
        key = (output, BlockKind.REASONING, 0)
        summary = "".join(part.text or "" for part in item.summary or ())
        text = "".join(part.text or "" for part in item.content or ())
        if summary or text or item.encrypted_content or key in self._blocks:
            form = "summary" if summary else "text" if text else "encrypted"
            index = self._block(output, BlockKind.REASONING, 0, form)
            self._complete(index, summary or text)
            self.writer.proof(index, data=item.encrypted_content or "")

    def _complete(self, index: int, whole: Any) -> None:
        """The text of a block of which no delta came."""
        if isinstance(whole, str) and self.writer.is_open(index) and not self.writer.characters(index):
            self.writer.text(index, whole)

    def _cite(self, index: int, annotation: Any) -> None:
        if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
            self.writer.unrecognized("annotation")
            return
        places = [annotation.get(name) for name in ("start_index", "end_index")]
        start, end = (place if isinstance(place, int) else 0 for place in places)
        self.writer.emit(Cited(index, str(annotation.get("url") or ""), str(annotation.get("title") or ""), start, end))
