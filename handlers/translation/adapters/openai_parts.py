"""Everything but tool calls in an OpenAI-shaped answer: text, reasoning, refusals, images, audio, citations.

A choice has at most one of these blocks open; a piece of another kind closes it. Reasoning comes under three names:
`reasoning_content` (DeepSeek and most Chinese providers), `reasoning` (Groq, Together, OpenRouter), `reasoning_details`
(OpenRouter, with signatures); Mistral puts it into a content list.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from handlers.translation.adapters.event_writer import EventWriter
from handlers.translation.canonical.events import BlockDelta, BlockKind, Cited

DATA_URL: Final = "data:"
_TEXT: Final = BlockKind.TEXT
"""Looked up once: CPython 3.11 runs Python code to find a member of an enumeration."""
# OpenRouter's names for who made a proof of reasoning.
ORIGINS: Final = {"anthropic-claude-v1": "anthropic", "openai-responses-v1": "openai", "google-gemini-v1": "google"}


class PartReader:
    """Turns pieces of content into blocks."""

    __slots__ = ("_current", "_writer")

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._current: dict[int, tuple[BlockKind, str, int]] = {}

    def close(self, choice: int) -> None:
        """The open block of the choice, if any, is complete."""
        current = self._current.pop(choice, None)
        if current is not None:
            self._writer.stop(current[2])

    def _block(self, choice: int, kind: BlockKind, form: str = "", block_id: str = "", origin: str = "") -> int:
        current = self._current.get(choice)
        if current is not None:
            if current[0] is kind and current[1] == form + block_id:
                return current[2]
            self._writer.stop(current[2])
        index = self._writer.open(kind, choice, form=form, block_id=block_id, origin=origin)
        self._current[choice] = (kind, form + block_id, index)
        return index

    def text(self, choice: int, text: str, logprobs: msgspec.Raw | None = None) -> None:
        """Readable text, with its log probabilities if there are any."""
        index = self._block(choice, _TEXT)
        self._writer.text(index, text)
        if logprobs is not None:
            self._writer.emit(BlockDelta(index, logprobs=logprobs))

    def content(self, choice: int, content: str | list[Any], logprobs: msgspec.Raw | None = None) -> None:
        """Text, or a list of typed parts."""
        if isinstance(content, str):
            self.text(choice, content, logprobs)
            return
        for part in content:
            self._part(choice, part)

    def _part(self, choice: int, part: Any) -> None:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in {"text", "output_text"} and isinstance(part.get("text"), str):
            if part["text"]:
                self.text(choice, part["text"])
        elif kind == "thinking":
            thinking = part.get("thinking")
            pieces = [thinking] if isinstance(thinking, str) else [_text(piece) for piece in thinking or []]
            self.reasoning(choice, "".join(pieces), None)
        elif kind == "image_url":
            self.images(choice, [part])
        elif kind == "refusal" and isinstance(part.get("refusal"), str):
            self.refusal(choice, part["refusal"])
        else:
            self._writer.unrecognized("content part")

    def refusal(self, choice: int, text: str) -> None:
        """The model declines."""
        if text:
            self._writer.text(self._block(choice, BlockKind.REFUSAL), text)

    def reasoning(self, choice: int, text: Any, details: list[Any] | None) -> None:
        """Reasoning text; details, which hold the same text and more, win."""
        if details:
            for detail in details:
                if isinstance(detail, dict):
                    self._detail(choice, detail)
        elif isinstance(text, str) and text:
            self._writer.text(self._block(choice, BlockKind.REASONING, "text"), text)

    def _detail(self, choice: int, detail: dict[str, Any]) -> None:
        kind = str(detail.get("type"))
        block_id = _string(detail, "id")
        origin = ORIGINS.get(_string(detail, "format"), "")
        if kind == "reasoning.encrypted":
            index = self._block(choice, BlockKind.REASONING, "encrypted", block_id, origin)
            self._writer.proof(index, data=_string(detail, "data"))
        elif kind == "reasoning.summary":
            index = self._block(choice, BlockKind.REASONING, "summary", block_id, origin)
            self._writer.text(index, _string(detail, "summary"))
        elif kind == "reasoning.text":
            index = self._block(choice, BlockKind.REASONING, "text", block_id, origin)
            self._writer.text(index, _string(detail, "text"))
            self._writer.proof(index, signature=_string(detail, "signature"))
        else:
            self._writer.unrecognized("reasoning detail")

    def images(self, choice: int, images: list[Any]) -> None:
        """Generated images as data URLs."""
        for image in images:
            source = image.get("image_url") if isinstance(image, dict) else None
            url = _string(source, "url") if isinstance(source, dict) else ""
            if not url.startswith(DATA_URL):
                self._writer.unrecognized("image")
                continue
            media_type, _, data = url.removeprefix(DATA_URL).partition(";base64,")
            self.close(choice)
            index = self._block(choice, BlockKind.IMAGE, media_type)
            self._writer.proof(index, data=data)
            self.close(choice)

    def audio(self, choice: int, audio: Any) -> None:
        """Generated speech: base64 pieces and their transcript."""
        if not isinstance(audio, dict) or not any(_string(audio, name) for name in ("id", "data", "transcript")):
            return
        current = self._current.get(choice)
        block_id = _string(audio, "id")
        if current is not None and current[0] is BlockKind.AUDIO:
            index = current[2]
        else:
            index = self._block(choice, BlockKind.AUDIO, "audio", block_id)
        self._writer.text(index, _string(audio, "transcript"))
        self._writer.proof(index, data=_string(audio, "data"))

    def annotations(self, choice: int, annotations: list[Any]) -> None:
        """Web citations of the text."""
        for annotation in annotations:
            citation = annotation.get("url_citation") if isinstance(annotation, dict) else None
            if not isinstance(citation, dict):
                self._writer.unrecognized("annotation")
                continue
            index = self._block(choice, BlockKind.TEXT)
            start, end = citation.get("start_index"), citation.get("end_index")
            self._writer.emit(
                Cited(
                    index,
                    _string(citation, "url"),
                    _string(citation, "title"),
                    start if isinstance(start, int) else 0,
                    end if isinstance(end, int) else 0,
                )
            )


def _string(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""


def _text(piece: Any) -> str:
    return _string(piece, "text") if isinstance(piece, dict) else ""
