"""One attempt: an upstream's bytes through a translation into frames of the wire.

Theory of operation
    Callbacks only. The wire server hands over a reply, the upstream client calls back with a head, data and an end, and this
    object joins the two; no task, future or queue exists per attempt.

        waiting    nothing is committed; bytes that mean nothing to a reader yet (a role, a ping) are held back
        committed  HEAD and the held bytes went out with the first semantic bytes; from here all goes out as it comes
        ended      END went out, once; what still arrives from upstream is drained so that its connection can be used again
        over       the upstream call is over as well

Rules
    Whatever happens (an answer, an error, a deadline, a cancelled client, a bug of ours) there is exactly one `end`, and it
    says what was consumed. Nothing of the upstream's head reaches the client: the head is made here.
    The transport keeps the clocks of bytes (connect, headers, between bytes, total); this object keeps those of meaning
    (first event, between events), by a coarse sweep over all attempts instead of timers of its own.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import Final, Protocol

from handlers.errors import FailureClass
from handlers.translation.adapters.failures import STREAM
from handlers.translation.canonical.attempt import NOTHING, Outcome, Output, Translation
from handlers.translation.canonical.usage import NO_USAGE
from handlers.transport.client import UpstreamCall
from handlers.transport.memo import Memo
from handlers.transport.wire import WireEnd, WireHead
from handlers.transport.wire_server import WireReply

HELD_BYTES_MAX: Final = 256 * 1024
"""Of bytes before the first semantic ones; more is no answer."""
DRAIN_S: Final = 1.0
"""How long an upstream may go on after its answer has ended before its connection is given up."""
_WARNING: Final = re.compile(r"[a-z]{1,16}:[A-Za-z0-9_.\[\]-]{1,64}")
WARNINGS_MAX: Final = 20


def warning_headers(warnings: tuple[str, ...]) -> dict[str, str]:
    """Warnings name fields of the client's body; a name that is no plain word would not be safe in a header."""
    if not warnings:
        return {}
    plain = (warning if _WARNING.fullmatch(warning) else "dropped:other" for warning in warnings[:WARNINGS_MAX])
    return {"x-therouter-warnings": ",".join(dict.fromkeys(plain))}


def _success_head(said: tuple[str, tuple[str, ...]]) -> WireHead:
    content_type, warnings = said
    return WireHead(200, content_type, warning_headers(warnings))


success_heads: Final[Memo[tuple[str, tuple[str, ...]], WireHead]] = Memo(_success_head)
"""HEAD by content type and warnings."""


class Host(Protocol):
    """What an attempt needs of the room."""

    def over(self, attempt: Attempt) -> None:
        """Called once, when END has been sent and the upstream call is over."""

    def tell_bug(self, error: BaseException, request_id: str) -> None:
        """An exception that no stage declared."""

    def ask_whole(self, refused: Attempt) -> bool:
        """The provider refuses to answer by a stream, and nothing else; True: somebody took over the reply and asks again."""
        ...


class Attempt:
    """Joins one wire reply, one translation and one upstream call. All methods belong to the event loop's thread.

    Args:
        host: hears what becomes of it.
        reply: where frames go.
        translation: the attempt's translation, not yet started.
        bytes_max: of the upstream's answer (A52).
        started_at: `monotonic()` when it began, if that was earlier.
    """

    __slots__ = (
        "_bytes_left", "_committed", "_ended_at", "_event_seen", "_finished", "_held", "_host", "_last_event_at", "_semantic_at",
        "_sent_usage", "_tokens_seen", "_translation", "call", "end", "reply", "started_at",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        reply: WireReply,
        translation: Translation,
        *,
        bytes_max: int,
        started_at: float | None = None,
    ) -> None:
        self._host = host
        self._translation = translation
        self._bytes_left = bytes_max
        self._semantic_at = 0.0
        """When the first semantic content came; 0.0 before."""
        self._event_seen = False
        """Semantic content has come since the last sweep."""
        self._tokens_seen = 0
        """Of the answer, at the last sweep."""
        self._committed = False
        self._held = b""
        self._sent_usage = NO_USAGE
        self._ended_at = 0.0
        self._finished = False
        """The upstream call is over; nothing will be called back any more."""
        self.started_at = self._last_event_at = started_at or monotonic()
        self.reply = reply
        self.call: UpstreamCall
        self.end: WireEnd | None = None

    def begin(self, call: UpstreamCall) -> None:
        """The call is on its way; a gateway that reads slowly slows it down, one that leaves ends it."""
        self.call = call
        self.reply.listener = self

    # What the wire server calls

    def cancel(self) -> None:
        """The gateway hung up: it meters by the last USAGE frame that it read."""
        self.fail(FailureClass.CANCELLED)

    def pause_reading(self) -> None:
        """The gateway reads slowly."""
        self.call.pause_reading()

    def resume_reading(self) -> None:
        """It has caught up."""
        self.call.resume_reading()

    # What the upstream client calls

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        """The head of the upstream's answer: a few headers are read, none is passed on."""
        encoding = headers.get("content-encoding")
        if encoding and encoding.lower() != "identity":
            self.fail(FailureClass.MALFORMED)  # we asked for identity; whatever this is, it may be a bomb (A53)
            return
        try:
            self._translation.start(status, headers)
        except Exception as error:  # noqa: BLE001 the boundary around parsers of foreign bytes
            self._give_up(error)

    def data_received(self, data: bytes) -> None:
        """More of the upstream's answer."""
        self._bytes_left -= len(data)
        if self._ended_at:
            return
        if self._bytes_left < 0:
            self.fail(FailureClass.MALFORMED)
            return
        try:
            output = self._translation.receive_data(data)
            if output is not NOTHING:
                self._forward(output)
        except Exception as error:  # noqa: BLE001 as above
            self._give_up(error)

    def response_finished(self) -> None:
        """The upstream's answer is complete as far as HTTP can tell."""
        self._finished = True
        if self._ended_at:
            self._settle()
            return
        try:
            self._forward(self._translation.receive_eof())
        except Exception as error:  # noqa: BLE001 as above
            self._give_up(error)

    def response_failed(self, failure: FailureClass) -> None:
        """The call failed below the answer: no connection, a deadline, broken framing."""
        self._finished = True
        if self._ended_at:
            self._settle()
        else:
            self.fail(failure)

    # What ends an attempt early

    def fail(self, failure: FailureClass) -> None:
        """End the attempt with a failure that we saw, and stop the call."""
        if self._ended_at:
            return
        self._stop_call()
        try:
            self._forward(self._translation.fail(failure))
        except Exception as error:  # noqa: BLE001 as above
            self._give_up(error)

    def _stop_call(self) -> None:
        if not self._finished:
            self._finished = True
            self.call.cancel()

    def sweep(self, now: float) -> None:
        """The coarse clock: deadlines of meaning, usage for a gateway that may lose us, connections that do not drain."""
        if self._ended_at:
            if now - self._ended_at > DRAIN_S:
                self._stop_call()
                self._settle()
            return
        usage = self._translation.usage
        if usage.completion_tokens > self._tokens_seen:  # an answer that is collected shows no other sign of life
            self._tokens_seen = usage.completion_tokens
            self._note_event()
        if self._event_seen or self.call.paused:
            self._event_seen = False
            self._last_event_at = now
        deadlines = self.reply.request.deadlines
        limit_ms = deadlines.between_events_ms if self._semantic_at else deadlines.first_event_ms
        if (now - self._last_event_at) * 1000 > limit_ms and self._translation.upstream.streams:
            self.fail(FailureClass.TIMEOUT)
        elif self._committed and usage != self._sent_usage:
            self._sent_usage = usage
            self.reply.usage(usage)

    # From outputs to frames

    def _forward(self, output: Output) -> None:
        """Commit, forward and end as one output of the translation demands."""
        semantic = output.semantic
        if semantic:
            self._note_event()
        if output.ended:
            self._close(output)
            return
        data = output.data
        if not data:
            return
        if self._committed:
            self.reply.data(data, semantic)
        else:
            self._held += data
            if semantic:
                self._commit()
            elif len(self._held) > HELD_BYTES_MAX:
                self.fail(FailureClass.MALFORMED)

    def _note_event(self) -> None:
        self._event_seen = True
        if not self._semantic_at:
            self._semantic_at = monotonic()

    def _head(self) -> WireHead:
        return success_heads[self._translation.content_type, self._translation.warnings]

    def _commit(self) -> None:
        self._committed = True
        self.reply.start(self._head(), self._held, bool(self._semantic_at))
        self._held = b""

    def _close(self, output: Output) -> None:
        outcome = self._translation.outcome
        final = output.final
        if outcome.param == STREAM and self._is_refused_stream(outcome):
            return
        if self._committed:
            if output.data:
                self.reply.data(output.data, output.semantic)
        elif outcome.failure is None:
            self._held += output.data
            if self._held:
                self._commit()
        else:
            # Content and failure came in one read: the client has seen neither, so another endpoint may still answer.
            final = b""
        end = WireEnd(
            usage=outcome.usage,
            failure=outcome.failure,
            upstream_status=outcome.upstream_status,
            retry_after_ms=outcome.retry_after_ms,
            finish_reason=outcome.finish_reason,
            param=outcome.param,
            message=outcome.message,
            semantic=outcome.semantic,
            first_event_ms=int((self._semantic_at - self.started_at) * 1000) if self._semantic_at else 0,
            upstream_model=outcome.upstream_model,
            minted=outcome.minted,
        )
        if outcome.failure is not None:
            self._stop_call()
        self._finish(end, final)

    def _is_refused_stream(self, outcome: Outcome) -> bool:
        """Whether all that is wrong is that a stream was asked for, and somebody asks again without."""
        if outcome.failure is not FailureClass.INVALID_REQUEST or not self._translation.upstream.streams:
            return False
        if self._committed:
            return False
        self._stop_call()
        return self._host.ask_whole(self)

    def _give_up(self, error: BaseException) -> None:
        """A bug in a parser: tell of it by type and place, and end with what was consumed so far."""
        self._host.tell_bug(error, self.reply.request.request_id)
        self._stop_call()
        if not self._ended_at:
            semantic = bool(self._semantic_at)
            self._finish(WireEnd(usage=self._sent_usage, failure=FailureClass.SERVER_ERROR, semantic=semantic), b"")

    def _finish(self, end: WireEnd, final: bytes) -> None:
        self._ended_at = monotonic()
        self.end = end
        if self._committed or end.failure is not None:
            self.reply.end(end, final)
        else:
            self.reply.answer(self._head(), end, final)
        self._settle()

    def _settle(self) -> None:
        """Once both sides are over, let go of what refers to this object."""
        if self._finished:
            self.reply.listener = None
            self._host.over(self)
