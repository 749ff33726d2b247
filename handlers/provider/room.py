"""The provider room: admits requests of gateways, begins attempts, and keeps their coarse clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic, time
from typing import Final

import msgspec

from handlers.errors import FAILURES, ClientError, FailureClass, Unprocessable
from handlers.provider.attempt import Attempt, warning_headers
from handlers.provider.credentials import Credentials, NoCredential
from handlers.provider.kinds import Address, Kind, ServedEndpoint
from handlers.provider.plain_attempt import PlainAttempt
from handlers.telemetry.logs import AttemptEnded, Identifier, Level, Log, Room, WireRefused, identifier
from handlers.translation.canonical.attempt import Translation
from handlers.translation.canonical.bound_material import LEFT_OUT
from handlers.translation.canonical.parameters import NO_PARAMETERS
from handlers.translation.exchange import begin
from handlers.transport.client import UpstreamPool
from handlers.transport.frames import KNOWN_TERMS_BYTES_MAX
from handlers.transport.wire import RESEAL, WireEnd, WireHead, WireRequest, WireTerms
from handlers.transport.wire_server import WireReply

SWEEP_S: Final = 0.25
WHOLE_ONLY_S: Final = 600.0
"""How long a provider that has refused to stream a model is asked for whole answers: accounts get verified, models change."""
WHOLE_ONLY_MAX: Final = 1_024
KINDS_MAX: Final = 1_024
"""When so many are known, all are forgotten."""


class ProviderRoom:
    """Serves the endpoints of one provider. All methods belong to the event loop's thread."""

    def __init__(
        self,
        credentials: Credentials,
        endpoints: Mapping[str, ServedEndpoint],
        pool: UpstreamPool,
        log: Log,
        *,
        verbose: bool = False,
    ) -> None:
        """`verbose`: log attempts that succeed, too."""
        self._credentials = credentials
        self._endpoints = endpoints
        self._pool = pool
        self._log = log
        self._verbose = verbose
        self._provider = identifier(credentials.provider.slug)
        self._attempts: set[Attempt] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._address = Address.of(credentials.base_url)
        self._kinds: dict[bytes, Kind] = {}
        """By terms as the gateway wrote them."""
        self._whole_only: dict[tuple[str, str], float] = {}
        """(Endpoint, BYOK record) -> until when it is asked for whole answers."""

    def renew_credentials(self, credentials: Credentials) -> None:
        """Use these from now on; gateways that still sign with the wire key before this one are understood."""
        before = tuple(key for key in self._credentials.wire_keys if key not in credentials.wire_keys)
        self._credentials = replace(credentials, wire_keys=(*credentials.wire_keys, *before[:1]))
        self._kinds.clear()  # nothing that was signed with a retired credential is kept

    def serve(self, reply: WireReply) -> None:
        """Begin an attempt, or refuse it: the handler of the wire server."""
        request = reply.request
        now_s = time()
        if not self._credentials.vouches_for(request, now_s):
            self._refuse(reply, "token")
            return
        terms = request.terms
        kind = self._kinds.get(terms.encoded) or self._new_kind(terms)
        if kind is None:
            self._serve_no_endpoint(reply)
            return
        try:
            if not self._serve_known(reply, kind, now_s):
                self._serve_any(reply, kind, now_s)
        except Exception as error:  # noqa: BLE001 the boundary: one END for whatever a request does to us
            self._end_unsent(reply, error)

    def _serve_known(self, reply: WireReply, kind: Kind, now_s: float) -> bool:
        """Take the short way, if there is one for this request: it is sent, then what reads its answer is made."""
        request = reply.request
        way = kind.short_way
        if way is None or request.output_tokens_max or request.kept is not None:
            return False
        if way.streams and self._answers_whole(request):
            return False
        known = way.build(reply.body)
        if known is None:
            return False
        upstream, settings, _ = known
        head = kind.head(upstream, self._credentials.signer_for(request)(upstream, now_s))
        call = self._pool.send(head, upstream.body, None, kind.deadlines(request, streams=way.streams))
        attempt: Attempt | PlainAttempt
        try:
            if way.streams:
                attempt = self._attempt(reply, way.join(kind.ask(request, reply.body, now_s), known), kind)
            else:
                attempt = PlainAttempt(self, reply, way, settings.warnings)
        except Exception:
            call.cancel()  # nobody would hear its answer, and it would cost what another attempt costs again
            raise
        call.sink = attempt
        attempt.begin(call)
        return True

    def _serve_any(self, reply: WireReply, kind: Kind, now_s: float) -> None:
        request = reply.request
        signer = self._credentials.signer_for(request)
        translation = begin(kind.ask(request, reply.body, now_s, whole=self._answers_whole(request)))
        if translation.answer is not None:
            _answer_here(reply, translation, translation.answer.final)
            return
        if request.terms.require_parameters:
            _forbid_dropping(translation.warnings)
        upstream = translation.upstream
        head = kind.head(upstream, signer(upstream, now_s))
        deadlines = kind.deadlines(request, streams=upstream.streams)
        attempt = self._attempt(reply, translation, kind)
        attempt.begin(self._pool.send(head, upstream.body, attempt, deadlines))

    def _answers_whole(self, request: WireRequest) -> bool:
        """Whether the provider has lately refused to stream this model to this account."""
        if not self._whole_only:
            return False
        until = self._whole_only.get((request.terms.endpoint, request.byok_record))
        return until is not None and until > monotonic()

    def _serve_no_endpoint(self, reply: WireReply) -> None:
        """A request for one of another provider, or for the sealing keys alone."""
        if reply.request.terms.endpoint != RESEAL:
            self._refuse(reply, "endpoint")
            return
        try:
            sealed = self._credentials.reseal(reply.request)
        except NoCredential as error:
            reply.end(_end_for(error))
            return
        reply.end(WireEnd(), sealed.encode())

    def _new_kind(self, terms: WireTerms) -> Kind | None:
        endpoint = self._endpoints.get(terms.endpoint)
        if endpoint is None:
            return None
        kind = Kind(terms, endpoint, self._address)
        if len(terms.encoded) <= KNOWN_TERMS_BYTES_MAX:
            if len(self._kinds) >= KINDS_MAX:
                self._kinds.clear()
            self._kinds[terms.encoded] = kind
        return kind

    def _attempt(
        self, reply: WireReply, translation: Translation, kind: Kind, started_at: float | None = None
    ) -> Attempt:
        attempt = Attempt(self, reply, translation, bytes_max=kind.answer_bytes_max, started_at=started_at)
        self._attempts.add(attempt)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return attempt

    # What attempts call

    def ask_whole(self, refused: Attempt) -> bool:
        """Ask again without a stream, in the same attempt and within its time, and remember to."""
        reply, request = refused.reply, refused.reply.request
        if len(self._whole_only) >= WHOLE_ONLY_MAX:
            self._whole_only.clear()
        self._whole_only[request.terms.endpoint, request.byok_record] = monotonic() + WHOLE_ONLY_S
        kind = self._kinds.get(request.terms.encoded) or self._new_kind(request.terms)
        if kind is None:
            return False
        now_s = time()
        translation = begin(kind.ask(request, reply.body, now_s, whole=True))
        upstream = translation.upstream
        head = kind.head(upstream, self._credentials.signer_for(request)(upstream, now_s))
        spent_ms = request.elapsed_ms + int((monotonic() - refused.started_at) * 1000)
        deadlines = kind.deadlines(msgspec.structs.replace(request, elapsed_ms=spent_ms), streams=False)
        attempt = self._attempt(reply, translation, kind, refused.started_at)
        self._attempts.discard(refused)
        attempt.begin(self._pool.send(head, upstream.body, attempt, deadlines))
        return True

    def over(self, attempt: Attempt) -> None:
        """END has been sent, and the upstream call is over."""
        self._attempts.discard(attempt)
        if attempt.end is not None and (attempt.end.failure is not None or self._verbose):
            self._tell(attempt.reply.request, attempt.end, monotonic() - attempt.started_at)

    def take_over(self, plain: PlainAttempt) -> Attempt:
        """An attempt at the same request, on the long way."""
        request = plain.reply.request
        kind = self._kinds.get(request.terms.encoded) or self._new_kind(request.terms)
        if kind is None:
            raise LookupError(request.terms.endpoint)
        translation = begin(kind.ask(request, plain.reply.body, time()))
        return self._attempt(plain.reply, translation, kind, plain.started_at)

    def plain_over(self, plain: PlainAttempt, end: WireEnd) -> None:
        """A plain attempt has succeeded."""
        if self._verbose:
            self._tell(plain.reply.request, end, monotonic() - plain.started_at)

    def tell_bug(self, error: BaseException, request_id: str) -> None:
        """Of a bug the log has its type and place."""
        self._log.fault(Room.PROVIDER, error, request_id=request_id)

    def _sweep(self) -> None:
        now = monotonic()
        for attempt in tuple(self._attempts):
            attempt.sweep(now)
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if self._attempts else None

    def _refuse(self, reply: WireReply, reason: str) -> None:
        self._log.emit(WireRefused(level=Level.WARNING, provider=self._provider, reason=Identifier(reason)))
        reply.refuse()

    def _end_unsent(self, reply: WireReply, error: Exception) -> None:
        """Nothing was sent upstream: say why, as far as it is the client's or the credential's fault."""
        end = _end_for(error)
        if end.failure is FailureClass.SERVER_ERROR:
            self.tell_bug(error, reply.request.request_id)
        reply.end(end)
        self._tell(reply.request, end, 0.0)

    def _tell(self, request: WireRequest, end: WireEnd, duration_s: float) -> None:
        failure = end.failure
        counts = failure is not None and FAILURES[failure].counts_for_health
        endpoint = self._endpoints[request.terms.endpoint]
        self._log.emit(
            AttemptEnded(
                level=Level.WARNING if counts else Level.DEBUG if failure in _EXPECTED else Level.INFO,
                request_id=identifier(request.request_id),
                provider=self._provider,
                model=endpoint.model,
                attempt=request.attempt,
                duration_ms=int(duration_s * 1000),
                failure=failure,
                upstream_status=end.upstream_status,
            )
        )


def _answer_here(reply: WireReply, translation: Translation, final: bytes) -> None:
    """An answer that needs no provider."""
    reply.head(WireHead(200, translation.content_type, warning_headers(translation.warnings)))
    reply.end(WireEnd(finish_reason=translation.outcome.finish_reason, semantic=True), final)


_EXPECTED: Final = {None, FailureClass.CANCELLED}


def _end_for(error: Exception) -> WireEnd:
    if isinstance(error, Unprocessable):
        return WireEnd(failure=FailureClass.UNSUPPORTED, param=error.param or "", message=error.message)
    if isinstance(error, ClientError):
        return WireEnd(
            failure=FailureClass.INVALID_REQUEST, param=error.param or "", message=error.message, code=error.code
        )
    if isinstance(error, NoCredential):
        return WireEnd(failure=FailureClass.UNAUTHENTICATED_UPSTREAM)
    return WireEnd(failure=FailureClass.SERVER_ERROR)


_DROPPED: Final = "dropped:"


def _forbid_dropping(warnings: tuple[str, ...]) -> None:
    named = [warning.removeprefix(_DROPPED) for warning in warnings if warning.startswith(_DROPPED)]
    parameters = [name for name in named if name != LEFT_OUT]
    dropped = [n for n in parameters if n.partition(".")[0] not in NO_PARAMETERS or n.startswith("tools.")]
    if dropped:
        raise Unprocessable(
            f"`{dropped[0]}` is not supported by any endpoint that may serve this; remove it, or require_parameters.",
            param=dropped[0],
        )
