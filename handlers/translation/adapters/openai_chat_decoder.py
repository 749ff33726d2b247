"""OpenAI chat completions, answers: chunks or one body -> events.

One shape for both: a whole answer is one chunk whose `message` is the delta. Compatible providers leave out indices, types
and ids, send `usage` early, late, twice or in odd places, end without `[DONE]` or with an error object in a 200; all of
that is read here, so that adding one is a row of data.
"""

from __future__ import annotations

from typing import Final

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.adapters.event_writer import NO_CHOICES, Malformed
from handlers.translation.adapters.failures import classify_error
from handlers.translation.adapters.openai_answer_fields import NO_RAW, Choice, Chunk, Delta, OpenaiUsage
from handlers.translation.adapters.openai_calls import CallReader
from handlers.translation.adapters.openai_parts import PartReader
from handlers.translation.adapters.openai_usage import usage_from_openai
from handlers.translation.canonical.events import FinishReason

CHOICES_MAX: Final = 128

# Providers' words for the end of a choice; unknown ones count as `stop` and keep their native reason.
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_call": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}
# Finish reasons that are failures in disguise.
FINISH_FAILURES: dict[str, FailureClass] = {
    "error": FailureClass.SERVER_ERROR,
    "network_error": FailureClass.SERVER_ERROR,
    "abort": FailureClass.SERVER_ERROR,
    "insufficient_system_resource": FailureClass.OVERLOADED,
}


_CHUNK: Final = msgspec.json.Decoder(Chunk)
CHOICES: Final = b'"choices":'
_ABSENT: Final = (NO_RAW, msgspec.Raw(b"null"))


class OpenaiChatDecoder(JsonDecoder):
    """Reads a stream of chunks, or one whole completion (chat or legacy)."""

    __slots__ = ("_calls", "_choices", "_parts", "usage_only")

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self.usage_only = False
        """The last frame carried usage and no choices."""
        self._choices = NO_CHOICES
        self._parts = PartReader(self.writer)
        self._calls: CallReader | None = None
        """Made for the first call of a tool: most answers have none."""

    def read(self, data: bytes, event: bytes) -> None:
        """One chunk, one completion, or the end marker."""
        self.usage_only = False
        if data == b"[DONE]":
            self._done()
            return
        if data.count(CHOICES) > 1:
            raise Malformed("a key twice")  # a client might read the one that we did not (A59)
        chunk = _CHUNK.decode(data)
        if (chunk.error or chunk.base_resp or event == b"error") and self._read_error(chunk, data, event):
            return
        choices = chunk.choices
        if not self._choices:
            self._start(chunk)
        usage = chunk.usage
        if choices:
            for choice in choices:
                self._read_choice(choice)
                usage = usage or choice.usage
        if usage is None and chunk.x_groq is not None:
            usage = chunk.x_groq.usage
        if usage is not None:
            self.usage_only = not choices
            self._report(usage)
        if not self.streams and not self.writer.ended:
            self._end_whole()

    def end(self) -> None:
        """Whole if every choice that began has its finish reason; what was not a stream has ended already."""
        if self._choices and self._choices <= self.writer.finished:
            self.writer.complete()
        else:
            self.writer.fail(FailureClass.TRUNCATED)

    def _start(self, chunk: Chunk) -> None:
        self.model = self.model or chunk.model or ""
        self.response_id = self.response_id or str(chunk.id or "")
        if chunk.choices:
            self.writer.start(self.response_id, self.model, int(chunk.created or 0))

    def _done(self) -> None:
        """The provider's end marker: a choice that never said why it stopped has stopped."""
        if not self._choices:
            self.writer.fail(FailureClass.TRUNCATED)
            return
        for choice in sorted(self._choices):
            self._finish(choice, "")
        self.writer.complete()

    def _end_whole(self) -> None:
        if not self._choices:
            raise Malformed("no choices")
        for choice in sorted(self._choices):
            self._finish(choice, "")
        self.writer.complete()

    def _read_error(self, chunk: Chunk, data: bytes, event: bytes) -> bool:
        in_disguise = bool(chunk.base_resp and chunk.base_resp.get("status_code"))
        if not (chunk.error or in_disguise or event == b"error"):
            return False
        if self._choices and self._choices <= self.writer.finished:
            self.writer.unrecognized("error after the end")
            return False
        failed = classify_error(200, data)
        self.writer.fail(failed.failure, retry_after_ms=failed.retry_after_ms, param=failed.param)
        return True

    def _report(self, raw: OpenaiUsage) -> None:
        usage = usage_from_openai(raw)
        if usage.prompt_tokens or usage.completion_tokens:
            self.writer.report(usage, final=bool(self.writer.finished) or not self.streams)

    def _read_choice(self, choice: Choice) -> None:
        index = choice.index or 0
        if index not in self._choices:
            if not 0 <= index < CHOICES_MAX:
                raise Malformed("choice index out of range")
            self._choices |= {index}
        logprobs = None if choice.logprobs in _ABSENT else choice.logprobs
        delta = choice.delta or choice.message
        if delta is not None:
            self._read_delta(index, delta, logprobs)
        elif choice.text:
            self._parts.text(index, choice.text, logprobs)
        if choice.finish_reason:
            self._finish(index, choice.finish_reason)

    def _read_delta(self, index: int, delta: Delta, logprobs: msgspec.Raw | None) -> None:
        parts = self._parts
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
            parts.reasoning(index, delta.reasoning_content or delta.reasoning, delta.reasoning_details)
        if delta.content:
            parts.content(index, delta.content, logprobs)
        if delta.refusal:
            parts.refusal(index, delta.refusal)
        if delta.images:
            parts.images(index, delta.images)
        if delta.audio:
            parts.audio(index, delta.audio)
        if delta.annotations:
            parts.annotations(index, delta.annotations)
        if delta.tool_calls:
            parts.close(index)
            if self._calls is None:
                self._calls = CallReader(self.writer)
            self._calls.read(index, delta.tool_calls, whole=not self.streams)

    def _finish(self, choice: int, reason: str) -> None:
        """The choice is over; providers that repeat the reason are heard once."""
        if choice in self.writer.finished:
            return
        failure = FINISH_FAILURES.get(reason)
        if failure is not None:
            self.writer.fail(failure)
            return
        self._parts.close(choice)
        if self._calls is not None:
            self._calls.close(choice)
        self.writer.finish(FINISH_REASONS.get(reason, FinishReason.STOP), choice, native=reason)
