"""One attempt at an operation that is no conversation: one request, one answer."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.errors import FailureClass, InvalidRequest, Unprocessable
from handlers.translation.adapters.base import WHOLE_BYTES_MAX
from handlers.translation.adapters.decoding import UNREADABLE
from handlers.translation.adapters.failures import Failed, classify_error
from handlers.translation.canonical.attempt import NOTHING, Asked, Outcome, Output, UpstreamRequest
from handlers.translation.canonical.usage import NO_USAGE, Usage
from handlers.translation.deliveries import ERROR_BODY_BYTES_MAX
from handlers.translation.dialects.base import JSON_TYPE
from handlers.translation.operations.audio import SPEECH_TYPES, Speech, Transcriptions
from handlers.translation.operations.base import Answered, Operation
from handlers.translation.operations.counting import AnthropicCounting, GeminiCounting, estimate_count
from handlers.translation.operations.embeddings import CohereEmbeddings, GeminiEmbeddings, OpenaiEmbeddings
from handlers.translation.operations.images import Images
from handlers.translation.operations.moderations import Moderations
from handlers.translation.operations.rerank import Rerank

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


class Call:
    """A `Translation` of one request and one answer."""

    answer: Output | None = None
    """A call always asks the provider."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._operation = find_operation(asked)
        self._built = self._operation.build(asked)
        self._body = bytearray()
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._kind = ""
        self._failed: Failed | None = None
        self._answered = Answered(b"")
        self._received = 0
        self._ended = False
        self._ignored_bytes = 0
        self._forwards = isinstance(self._operation, Speech)

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        return self._built.upstream

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters."""
        return self._built.warnings

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
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        failed = self._failed
        return Outcome(
            usage=self.usage,
            failure=failed.failure if failed else None,
            upstream_status=self._status,
            retry_after_ms=failed.retry_after_ms if failed else 0,
            finish_reason="error" if failed else "stop",
            param=failed.param if failed else "",
            semantic=failed is None or (self._forwards and self._received > 0),
            upstream_model=self._answered.model,
            ignored_bytes=self._ignored_bytes,
        )

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the upstream's answer."""
        self._status = status
        self._headers = headers
        self._kind = headers.get("content-type", "").partition(";")[0].strip().lower()

    def receive_data(self, data: bytes) -> Output:
        """The next bytes of the upstream's answer."""
        if self._ended:
            self._ignored_bytes += len(data)
            return NOTHING
        self._received += len(data)
        if not self._succeeded():
            self._body += data[: ERROR_BODY_BYTES_MAX - len(self._body)]
            return NOTHING
        if self._received > WHOLE_BYTES_MAX:
            return self.fail(FailureClass.MALFORMED)
        if self._forwards:
            return Output(data, semantic=True) if data else NOTHING
        self._body += data
        return NOTHING

    def receive_eof(self) -> Output:
        """The upstream's answer is over."""
        if self._ended:
            return Output(ended=True)
        if not self._succeeded():
            status = self._status if not 200 <= self._status < 300 else 200
            return self._end(classify_error(status, bytes(self._body), self._headers))
        if not self._received:
            return self.fail(FailureClass.TRUNCATED)
        try:
            self._answered = self._operation.read(bytes(self._body), self._kind, self._asked)
        except (*UNREADABLE, InvalidRequest):
            failed = classify_error(200, bytes(self._body)) if b'"error"' in self._body[:200] else None
            return self._end(failed or Failed(FailureClass.MALFORMED))
        self._ended = True
        return Output(final=self._answered.body, ended=True)

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed."""
        return Output(ended=True) if self._ended else self._end(Failed(failure))

    def _succeeded(self) -> bool:
        """A success that carries what was asked for; sound never comes as JSON."""
        if not 200 <= self._status < 300 or self._kind == "text/html":
            return False
        return not (self._forwards and self._kind == JSON_TYPE)

    def _end(self, failed: Failed) -> Output:
        self._ended = True
        self._failed = failed
        if self._forwards and self._received and self._succeeded():
            self._answered = self._operation.read(b"", self._kind, self._asked)
        return Output(ended=True)


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
