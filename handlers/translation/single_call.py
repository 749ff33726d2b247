"""One request and one answer: what every attempt at an operation that is no conversation does alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Built
from handlers.translation.adapters.decoding import WHOLE_BYTES_MAX
from handlers.translation.adapters.failures import Failed, classify_error
from handlers.translation.canonical.attempt import NOTHING, Asked, Outcome, Output, UpstreamRequest
from handlers.translation.canonical.usage import Usage
from handlers.translation.deliveries import ERROR_BODY_BYTES_MAX
from handlers.translation.dialects.base import JSON_TYPE


class SingleCall(ABC):
    """A `Translation` whose answer is read by `_take` and `_complete`.

    Args:
        asked: the attempt.
        built: the request to send.
        is_sound: the answer is sound, which never comes as JSON.
    """

    answer: ClassVar[Output | None] = None
    """The provider is always asked."""

    def __init__(self, asked: Asked, built: Built, *, is_sound: bool) -> None:
        self._asked = asked
        self._built = built
        self._is_sound = is_sound
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._kind = ""
        self._body = bytearray()
        """Of an error, or of an answer that is read whole."""
        self._received = 0
        self._failed: Failed | None = None
        self._ended = False
        self._ignored_bytes = 0

    @abstractmethod
    def _take(self, data: bytes) -> Output:
        """More of a success."""

    @abstractmethod
    def _complete(self) -> Output:
        """The end of a success."""

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """As far as it is known."""

    @property
    @abstractmethod
    def _is_semantic(self) -> bool:
        """Anything was produced."""

    @property
    def _upstream_model(self) -> str:
        """The model that the provider says it used."""
        return ""

    @property
    def upstream(self) -> UpstreamRequest:
        """The request to send."""
        return self._built.upstream

    @property
    def warnings(self) -> tuple[str, ...]:
        """Dropped or adapted parameters."""
        return self._built.warnings

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
            semantic=self._is_semantic,
            upstream_model=self._upstream_model,
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
        return self._take(data)

    def receive_eof(self) -> Output:
        """The upstream's answer is over."""
        if self._ended:
            return Output(ended=True)
        if not self._succeeded():
            status = self._status if not 200 <= self._status < 300 else 200
            return self._end(classify_error(status, bytes(self._body), self._headers))
        return self._complete()

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed or a deadline passed."""
        return Output(ended=True) if self._ended else self._end(Failed(failure))

    def _succeeded(self) -> bool:
        """A success that carries what was asked for."""
        if not 200 <= self._status < 300 or self._kind == "text/html":
            return False
        return not (self._is_sound and self._kind == JSON_TYPE)

    def _unreadable(self) -> Output:
        """The whole body is no answer: an error in the clothes of a success, or nothing that we know."""
        body = bytes(self._body)
        failed = classify_error(200, body) if b'"error"' in body[:200] else None
        return self._end(failed or Failed(FailureClass.MALFORMED))

    def _end(self, failed: Failed) -> Output:
        self._ended = True
        self._failed = failed
        return Output(ended=True)
