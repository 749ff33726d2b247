"""One attempt at an operation that is no conversation: one request, one answer."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.errors import FailureClass, Unprocessable
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.failures import Failed
from handlers.translation.canonical.attempt import NOTHING, Asked, Outcome, Output, UpstreamRequest
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.dialects.base import JSON_TYPE
from handlers.translation.operations.audio import SPEECH_TYPES, Speech, Transcriptions
from handlers.translation.operations.base import Answered, Operation
from handlers.translation.operations.counting import AnthropicCounting, GeminiCounting, estimate_count
from handlers.translation.operations.embeddings import CohereEmbeddings, GeminiEmbeddings, OpenaiEmbeddings
from handlers.translation.operations.images import Images
from handlers.translation.operations.moderations import Moderations
from handlers.translation.operations.rerank import Rerank
from handlers.translation.single_call import SingleCall

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("embeddings", "openai_chat"): OpenaiEmbeddings(),
    ("embeddings", "gemini"): GeminiEmbeddings(),
    ("embeddings", "cohere"): CohereEmbeddings(),
    ("rerank", "openai_chat"): Rerank(),
    ("rerank", "cohere"): Rerank(),
    ("moderations", "openai_chat"): Moderations(),
    ("images", "openai_chat"): Images(),
    ("speech", "openai_chat"): Speech(),
    ("transcriptions", "openai_chat"): Transcriptions(),
}
"""By operation and wire format."""
_COUNTERS: dict[tuple[str, str], Operation] = {
    ("anthropic_messages", "anthropic_messages"): AnthropicCounting(),
    ("google_generate", "gemini"): GeminiCounting(),
}
"""By dialect and wire format: where the provider counts what it would be sent."""


def find_operation(asked: Asked) -> Operation:
    """The operation at this wire format.

    Raises:
        Unprocessable: this provider has none.
    """
    found = OPERATIONS.get((asked.operation, asked.upstream.wire_format))
    if asked.operation == "count_tokens":
        found = _COUNTERS.get((asked.dialect, asked.upstream.wire_format))
    if found is None:
        raise Unprocessable(
            f"{asked.operation} is not available from this provider; choose another model.", param="model"
        )
    return found


def counts_here(asked: Asked) -> bool:
    """Whether tokens are counted by our estimate, without asking anybody."""
    return asked.operation == "count_tokens" and (asked.dialect, asked.upstream.wire_format) not in _COUNTERS


class Call(SingleCall):
    """A `Translation` of one request and one answer."""

    def __init__(self, asked: Asked) -> None:
        self._operation = find_operation(asked)
        self._forwards = isinstance(self._operation, Speech)
        super().__init__(asked, self._operation.build(asked), is_sound=self._forwards)
        self._answered = Answered(b"")

    @property
    def content_type(self) -> str:
        """Of the client's response."""
        if self._forwards:
            return self._kind if self._kind in SPEECH_TYPES else "application/octet-stream"
        return self._answered.content_type if self._ended else JSON_TYPE

    @property
    def usage(self) -> Usage:
        """Known once the answer is whole."""
        return self._answered.usage

    @property
    def _is_semantic(self) -> bool:
        return self._failed is None or (self._forwards and self._received > 0)

    @property
    def _upstream_model(self) -> str:
        return self._answered.model

    def _take(self, data: bytes) -> Output:
        if self._forwards:
            return Output(data, semantic=True) if data else NOTHING
        self._body += data
        return NOTHING

    def _complete(self) -> Output:
        if not self._received:
            return self.fail(FailureClass.TRUNCATED)
        try:
            self._answered = self._operation.read(bytes(self._body), self._kind, self._asked)
        except UNREADABLE:
            return self._unreadable()
        self._ended = True
        return Output(final=self._answered.body, ended=True)

    def _end(self, failed: Failed) -> Output:
        if self._forwards and self._received and self._succeeded():
            self._answered = self._operation.read(b"", self._kind, self._asked)
        return super()._end(failed)


class Estimate:
    """A `Translation` that needs no provider: tokens counted by our estimate."""

    def __init__(self, asked: Asked) -> None:
        self.answer: Output | None = Output(final=estimate_count(asked), ended=True)
        self.upstream = UpstreamRequest("", "", (), b"", streams=False)
        self.warnings: tuple[str, ...] = ("estimated:input_tokens",)
        self.content_type = JSON_TYPE
        self.usage = NO_USAGE
        self.outcome = Outcome(finish_reason="stop", semantic=True)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Nothing was asked."""

    def receive_data(self, data: bytes) -> Output:
        """Nothing was asked."""
        del data
        return NOTHING

    def receive_eof(self) -> Output:
        """The answer is ready from the start."""
        return self.answer or Output(ended=True)

    def fail(self, failure: FailureClass) -> Output:
        """Nothing can fail."""
        del failure
        return Output(ended=True)
