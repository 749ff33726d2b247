"""Gemini, answers (AI Studio and Vertex): chunks or one body -> events.

Each chunk is a whole small answer; usage repeats and grows, the last one counts. There is no end marker: an answer is whole
once every candidate has its finish reason. Thoughts are text parts marked `thought`; signatures ride on calls, or on a text
part of their own account, and then count as encrypted reasoning. Calls often have no id; their order identifies them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import Malformed
from handlers.translation.adapters.failures import classify_error
from handlers.translation.adapters.gemini_partial import PartialArg, PartialArguments
from handlers.translation.adapters.openai_answer_fields import Count
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.events import BlockKind, Cited, FinishReason
from handlers.translation.canonical.usage import Usage

CANDIDATES_MAX = 128

# With `enum-encoding=int` reasons come as numbers; the place in this list is the number.
_NUMBERED = (
    "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST",
    "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL",
)  # fmt: skip
FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
}
# The model wrote a call that nobody can carry out: a failed attempt, not an answer.
_BROKEN_CALLS = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE"})


class _Camel(msgspec.Struct, gc=False, rename="camel"):
    pass


class _FunctionCall(_Camel):
    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw()
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class _Blob(_Camel):
    mime_type: str = ""
    data: str = ""


class _Part(_Camel):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None
    inline_data: _Blob | None = None
    executable_code: Any = None
    code_execution_result: Any = None


class _Content(_Camel):
    parts: list[_Part] | None = None


class _Web(_Camel):
    uri: str | None = None
    title: str | None = None


class _GroundingChunk(_Camel):
    web: _Web | None = None


class _Grounding(_Camel):
    grounding_chunks: list[_GroundingChunk] | None = None
    web_search_queries: list[Any] | None = None


class _Candidate(_Camel):
    content: _Content | None = None
    finish_reason: str | int | None = None
    index: int = 0
    grounding_metadata: _Grounding | None = None


class _Modality(_Camel):
    modality: str | int = ""
    token_count: Count = None


class _GeminiUsage(_Camel):
    prompt_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    cached_content_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


class _Feedback(_Camel):
    block_reason: str | int | None = None


class _Chunk(_Camel):
    candidates: list[_Candidate] | None = None
    usage_metadata: _GeminiUsage | None = None
    prompt_feedback: _Feedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


_CHUNKS = msgspec.json.Decoder(_Chunk | list[_Chunk])


class GeminiDecoder(JsonDecoder):
    """Reads a stream of chunks, one whole answer, or an array of chunks."""

    __slots__ = ("_blocks", "_candidates", "_growing", "_searches")

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self._candidates: set[int] = set()
        self._blocks: dict[int, tuple[BlockKind, int]] = {}
        self._growing: dict[int, tuple[int, PartialArguments]] = {}
        """Candidate -> the call whose arguments come in pieces."""
        self._searches = 0

    def read(self, data: bytes, event: bytes) -> None:
        """One chunk, or the whole body."""
        del event
        if data == b"[DONE]":
            return
        decoded = _CHUNKS.decode(data)
        for chunk in decoded if isinstance(decoded, list) else [decoded]:
            if chunk.error is not None:
                failed = classify_error(200, msgspec.json.encode({"error": chunk.error}))
                self.writer.fail(failed.failure, retry_after_ms=failed.retry_after_ms)
                return
            self._chunk(chunk)
        if not self.streams:
            self._end_whole()

    def end(self) -> None:
        """Whole if every candidate that began has its finish reason."""
        if self._candidates and self._candidates <= self.writer.finished:
            self.writer.complete()
        else:
            self.writer.fail(FailureClass.TRUNCATED)

    def _end_whole(self) -> None:
        if not self._candidates:
            raise Malformed("no candidates")
        for candidate in sorted(self._candidates):
            self._finish(candidate, "STOP")
        if not self.writer.ended:
            self.writer.complete()

    def _chunk(self, chunk: _Chunk) -> None:
        if chunk.model_version:
            self.model = chunk.model_version
        if chunk.response_id:
            self.response_id = chunk.response_id
        if chunk.candidates:
            self.writer.start(self.response_id, self.model)
        if chunk.usage_metadata is not None and any(
            one.finish_reason in _BROKEN_CALLS for one in chunk.candidates or ()
        ):
            self.writer.report(usage_from_gemini(chunk.usage_metadata, self._searches), final=True)  # it is billed
        for candidate in chunk.candidates or ():
            self._candidate(candidate)
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason and not chunk.candidates:
            self._candidates.add(0)
            self.writer.finish(FinishReason.CONTENT_FILTER, native=str(feedback.block_reason))
        if chunk.usage_metadata is not None and not self.writer.ended:
            usage = usage_from_gemini(chunk.usage_metadata, self._searches)
            done = bool(self._candidates) and self._candidates <= self.writer.finished
            self.writer.report(usage, final=done or not self.streams)

    def _candidate(self, candidate: _Candidate) -> None:
        index = candidate.index
        if not 0 <= index < CANDIDATES_MAX:
            raise Malformed("candidate index out of range")
        self._candidates.add(index)
        for part in (candidate.content.parts or ()) if candidate.content else ():
            self._part(index, part)
        if candidate.grounding_metadata is not None:
            self._ground(index, candidate.grounding_metadata)
        reason = candidate.finish_reason
        if isinstance(reason, int):
            reason = _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else "OTHER"
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            self._finish(index, reason)

    def _finish(self, candidate: int, reason: str) -> None:
        if reason in _BROKEN_CALLS:
            self.writer.fail(FailureClass.MALFORMED)
            return
        self._complete_call(candidate)
        self._close(candidate)
        self.writer.finish(FINISH_REASONS.get(reason, FinishReason.STOP), candidate, native=reason)

    def _close(self, candidate: int) -> None:
        current = self._blocks.pop(candidate, None)
        if current is not None:
            self.writer.stop(current[1])

    def _block(self, candidate: int, kind: BlockKind) -> int:
        current = self._blocks.get(candidate)
        if current is not None and current[0] is kind:
            return current[1]
        self._close(candidate)
        thought = kind is BlockKind.REASONING
        index = self.writer.open(kind, candidate, form="text" if thought else "", origin="google" if thought else "")
        self._blocks[candidate] = (kind, index)
        return index

    def _part(self, candidate: int, part: _Part) -> None:
        if part.function_call is not None:
            self._call(candidate, part.function_call, part.thought_signature or "")
        elif part.inline_data is not None:
            self._media(candidate, part.inline_data)
        elif part.text is not None or part.thought_signature:
            if part.text:
                kind = BlockKind.REASONING if part.thought else BlockKind.TEXT
                self.writer.text(self._block(candidate, kind), part.text)
            if part.thought_signature:
                self._sign(candidate, part.thought_signature)
        else:
            self.writer.unrecognized("part")

    def _sign(self, candidate: int, signature: str) -> None:
        self._close(candidate)
        index = self.writer.open(BlockKind.REASONING, candidate, form="encrypted", origin="google")
        self.writer.proof(index, data=signature)
        self.writer.stop(index)

    def _call(self, candidate: int, call: _FunctionCall, signature: str) -> None:
        if candidate in self._growing and not call.name:
            self._grow(candidate, call)
            return
        if not call.name:
            raise Malformed("call without a name")
        self._complete_call(candidate)
        self._close(candidate)
        index = self.writer.open(BlockKind.TOOL_CALL, candidate, block_id=call.id or "", name=call.name)
        self.writer.proof(index, signature=signature)
        if call.will_continue:
            self._growing[candidate] = (index, PartialArguments())
            self._grow(candidate, call)
            return
        arguments = bytes(call.args)
        self.writer.text(index, arguments.decode() if arguments not in {b"", b"null"} else "{}")
        self.writer.stop(index)

    def _grow(self, candidate: int, call: _FunctionCall) -> None:
        """More of a call whose arguments come in pieces; without `willContinue` it is complete."""
        for piece in call.partial_args or ():
            self._growing[candidate][1].add(piece)
        if not call.will_continue:
            self._complete_call(candidate)

    def _complete_call(self, candidate: int) -> None:
        growing = self._growing.pop(candidate, None)
        if growing is not None:
            index, arguments = growing
            self.writer.text(index, arguments.text())
            self.writer.stop(index)

    def _media(self, candidate: int, blob: _Blob) -> None:
        self._close(candidate)
        kind = BlockKind.AUDIO if blob.mime_type.startswith("audio/") else BlockKind.IMAGE
        index = self.writer.open(kind, candidate, form=blob.mime_type)
        self.writer.proof(index, data=blob.data)
        self.writer.stop(index)

    def _ground(self, candidate: int, grounding: _Grounding) -> None:
        self._searches += len(grounding.web_search_queries or ())
        current = self._blocks.get(candidate)
        if current is None or current[0] is not BlockKind.TEXT:
            return
        for chunk in grounding.grounding_chunks or ():
            if chunk.web is not None and chunk.web.uri:
                self.writer.emit(Cited(current[1], chunk.web.uri, chunk.web.title or ""))


def _of_modality(details: list[_Modality] | None, name: str) -> int:
    return sum(int(detail.token_count or 0) for detail in details or () if detail.modality == name)


def usage_from_gemini(raw: _GeminiUsage, searches: int = 0) -> Usage:
    """Disjoint counters: cached tokens are part of the prompt, thoughts are not part of the candidates."""
    tally = Tally()
    left = tally.count(raw.prompt_token_count) + tally.count(raw.tool_use_prompt_token_count)
    cached = tally.count(raw.cached_content_token_count, left)
    left -= cached
    heard = _of_modality(raw.prompt_tokens_details, "AUDIO") - _of_modality(raw.cache_tokens_details, "AUDIO")
    audio_input = tally.count(max(heard, 0), left)
    output = tally.count(raw.candidates_token_count)
    image_output = tally.count(_of_modality(raw.candidates_tokens_details, "IMAGE"), output)
    audio_output = tally.count(_of_modality(raw.candidates_tokens_details, "AUDIO"), output - image_output)
    return Usage(
        input=left - audio_input,
        cache_read=cached,
        audio_input=audio_input,
        output=output - image_output - audio_output,
        reasoning=tally.count(raw.thoughts_token_count),
        image_output=image_output,
        audio_output=audio_output,
        searches=searches,
        estimated=tally.corrected,
    )
