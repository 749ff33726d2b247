"""An attempt on the short way at one JSON answer: it is collected, and is one text with its usage when it is complete.

Nothing is committed before the end. So whatever else comes (an error, a failure, an answer of another kind, a gateway that
hangs up), an `Attempt` takes over and hears everything from the beginning, as if it had been there all the time.
"""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from handlers.errors import FailureClass
from handlers.provider.attempt import Attempt, success_heads
from handlers.translation.dialects.base import JSON_TYPE
from handlers.translation.raw_whole import PLAIN_BYTES_MAX
from handlers.translation.short_way import ShortWay
from handlers.transport.bodies import Pieces
from handlers.transport.client import UpstreamCall
from handlers.transport.wire import WireEnd
from handlers.transport.wire_server import WireReply


class Host(Protocol):
    """What a plain attempt needs of the room."""

    def take_over(self, plain: PlainAttempt) -> Attempt:
        """An attempt at the same request, on the long way, not yet begun."""

    def plain_over(self, plain: PlainAttempt, end: WireEnd) -> None:
        """END has been sent, and no attempt took over."""

    def tell_bug(self, error: BaseException, request_id: str) -> None:
        """An exception that no stage declared."""


class PlainAttempt:
    """Joins one wire reply and one upstream call. All methods belong to the event loop's thread.

    Args:
        host: hears what becomes of it.
        reply: where frames go.
        way: reads the answer.
        warnings: about the request.
    """

    __slots__ = (
        "_body", "_headers", "_host", "_status", "_warnings", "_way", "call", "reply", "started_at",
    )  # fmt: skip

    def __init__(self, host: Host, reply: WireReply, way: ShortWay, warnings: tuple[str, ...]) -> None:
        self._host = host
        self._way = way
        self._warnings = warnings
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = Pieces()
        self.started_at = monotonic()
        self.reply = reply
        self.call: UpstreamCall

    def begin(self, call: UpstreamCall) -> None:
        """The call is on its way."""
        self.call = call
        self.reply.listener = self

    # What the wire server calls

    def cancel(self) -> None:
        """The gateway hung up."""
        self._hand_over().fail(FailureClass.CANCELLED)

    def pause_reading(self) -> None:
        """The gateway reads slowly."""
        self.call.pause_reading()

    def resume_reading(self) -> None:
        """It has caught up."""
        self.call.resume_reading()

    # What the upstream client calls

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        """The head of the upstream's answer."""
        self._status = status
        self._headers = headers
        if status != 200 or "content-encoding" in headers or "html" in headers.get("content-type", ""):
            self._hand_over()

    def data_received(self, data: bytes) -> None:
        """More of the upstream's answer."""
        self._body.add(data)
        if self._body.length > PLAIN_BYTES_MAX:
            self._hand_over()

    def response_finished(self) -> None:
        """The upstream's answer is complete as far as HTTP can tell."""
        try:
            read = self._way.read(self._body.join())
        except Exception as error:  # noqa: BLE001 the boundary around parsers of foreign bytes
            self._host.tell_bug(error, self.reply.request.request_id)
            read = None
        if read is None:
            self._hand_over().response_finished()
            return
        plain, final = read
        end = WireEnd(
            usage=plain.usage,
            upstream_status=self._status,
            finish_reason=plain.finish_reason,
            semantic=True,
            upstream_model=plain.model,
        )
        if self._warnings:
            self.reply.answer(success_heads[JSON_TYPE, self._warnings], end, final)
        else:  # what an END means without a HEAD says all
            self.reply.end(end, final)
        self._host.plain_over(self, end)

    def response_failed(self, failure: FailureClass) -> None:
        """The call failed below the answer."""
        self._hand_over().response_failed(failure)

    def _hand_over(self) -> Attempt:
        attempt = self._host.take_over(self)
        attempt.begin(self.call)
        if self.call.sink is self:
            self.call.sink = attempt
        if self._status:
            attempt.response_started(self._status, self._headers)
        if self._body.length:
            attempt.data_received(self._body.join())
        return attempt
