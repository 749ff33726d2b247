"""The provider room: admits requests of gateways, begins attempts, and keeps their coarse clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic, time
from urllib.parse import urlsplit

import msgspec

from handlers.catalog.entries import Endpoint, Provider
from handlers.errors import FAILURES, ClientError, FailureClass, Unprocessable
from handlers.provider.attempt import Attempt, warning_headers
from handlers.provider.credentials import Credentials, NoCredential
from handlers.telemetry.logs import AttemptEnded, Identifier, Level, Log, Room, WireRefused, identifier
from handlers.translation.canonical.attempt import Translation, UpstreamRequest, UpstreamTarget
from handlers.translation.exchange import translate
from handlers.transport.client import CallDeadlines, HttpRequest, UpstreamPool
from handlers.transport.wire import RESEAL, WireEnd, WireHead, WireRequest
from handlers.transport.wire_server import WireReply

SWEEP_S = 0.25
ANSWER_BYTES_MIN = 1024 * 1024
ANSWER_BYTES_PER_TOKEN = 4096
"""A streamed token with its envelope and twenty alternatives; what A52 bounds is what an upstream can make us carry."""
ANSWER_BYTES_MAX = 256 * 1024 * 1024
MEDIA_BYTES_MAX = 64 * 1024 * 1024
"""Of an answer that is counted in something else than tokens: images, speech, embeddings."""
CONSTANT_HEADERS = [(b"accept-encoding", b"identity"), (b"user-agent", b"TheRouter")]


class ServedEndpoint(msgspec.Struct, frozen=True):
    """One endpoint of this pod's provider, as its requests need it."""

    target: UpstreamTarget
    model: Identifier
    output_tokens_max: int

    @classmethod
    def of(cls, provider: Provider, endpoint: Endpoint) -> ServedEndpoint:
        """What the catalogue says, in translation's terms."""
        able = endpoint.capabilities
        target = UpstreamTarget(
            wire_format=endpoint.wire_format or provider.wire_format,
            upstream_model=endpoint.upstream_model,
            provider=provider.slug,
            provider_name=provider.name,
            quirks=provider.quirks | endpoint.quirks,
            parameters=able.parameters,
            tools=able.tools,
            vision=able.vision,
            files=able.files,
            audio=able.audio,
            json_schema=able.json_schema,
            reasoning=able.reasoning,
            context_tokens=able.context_tokens,
            output_tokens_max=able.output_tokens_max,
        )
        return cls(target, identifier(endpoint.model), able.output_tokens_max)

    def answer_bytes_max(self, operation: str) -> int:
        """How long an upstream's answer may become."""
        if operation not in {"chat", "completions"}:
            return MEDIA_BYTES_MAX
        return min(ANSWER_BYTES_MIN + ANSWER_BYTES_PER_TOKEN * self.output_tokens_max, ANSWER_BYTES_MAX)


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
        address = urlsplit(credentials.base_url)
        self._origin = f"{address.scheme}://{address.netloc}"
        self._base_path = address.path

    def renew_credentials(self, credentials: Credentials) -> None:
        """Use these from now on; gateways that still sign with the wire key before this one are understood."""
        before = tuple(key for key in self._credentials.wire_keys if key not in credentials.wire_keys)
        self._credentials = replace(credentials, wire_keys=(*credentials.wire_keys, *before[:1]))

    def serve(self, reply: WireReply) -> None:
        """Begin an attempt, or refuse it: the handler of the wire server."""
        request = reply.request
        now_s = time()
        if not self._credentials.vouches_for(request, now_s):
            self._refuse(reply, "token")
            return
        if request.terms.endpoint == RESEAL:
            self._reseal(reply)
            return
        endpoint = self._endpoints.get(request.terms.endpoint)
        if endpoint is None:
            self._refuse(reply, "endpoint")
            return
        try:
            signer = self._credentials.signer_for(request)
            translation = _translate(request, endpoint.target, reply.body, int(now_s))
            if translation.answer is not None:
                _answer_here(reply, translation, translation.answer.final)
                return
            if request.terms.require_parameters:
                _forbid_dropping(translation.warnings)
            upstream = translation.upstream
            call = self._http_request(upstream, signer(upstream, now_s))
            self._begin(reply, translation, endpoint.answer_bytes_max(request.terms.operation), call)
        except Exception as error:  # noqa: BLE001 the boundary: one END for whatever a request does to us
            self._end_unsent(reply, error)

    def _reseal(self, reply: WireReply) -> None:
        try:
            sealed = self._credentials.reseal(reply.request)
        except NoCredential as error:
            reply.end(_end_for(error))
            return
        reply.end(WireEnd(), sealed.encode())

    def _begin(self, reply: WireReply, translation: Translation, bytes_max: int, call: HttpRequest) -> None:
        attempt = Attempt(reply, translation, bytes_max=bytes_max, on_over=self._over, on_bug=self._bug)
        attempt.begin(self._pool.send(call, attempt, _call_deadlines(reply.request, translation.upstream)))
        self._attempts.add(attempt)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _http_request(self, upstream: UpstreamRequest, signature: tuple[tuple[str, str], ...]) -> HttpRequest:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in (*upstream.headers, *signature)]
        return HttpRequest(
            self._origin,
            upstream.method.encode(),
            (self._base_path + upstream.path).encode(),
            headers + CONSTANT_HEADERS,
            upstream.body,
        )

    def _sweep(self) -> None:
        now = monotonic()
        for attempt in tuple(self._attempts):
            attempt.sweep(now)
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if self._attempts else None

    def _over(self, attempt: Attempt) -> None:
        self._attempts.discard(attempt)
        if attempt.end is not None and (attempt.end.failure is not None or self._verbose):
            self._tell(attempt.reply.request, attempt.end, monotonic() - attempt.started_at)

    def _refuse(self, reply: WireReply, reason: str) -> None:
        self._log.emit(WireRefused(level=Level.WARNING, provider=self._provider, reason=Identifier(reason)))
        reply.refuse()

    def _end_unsent(self, reply: WireReply, error: Exception) -> None:
        """Nothing was sent upstream: say why, as far as it is the client's or the credential's fault."""
        end = _end_for(error)
        if end.failure is FailureClass.SERVER_ERROR:
            self._bug(error, reply.request.request_id)
        reply.end(end)
        self._tell(reply.request, end, 0.0)

    def _bug(self, error: BaseException, request_id: str) -> None:
        self._log.fault(Room.PROVIDER, error, request_id=request_id)

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


_EXPECTED = {None, FailureClass.CANCELLED}


def _end_for(error: Exception) -> WireEnd:
    if isinstance(error, Unprocessable):
        return WireEnd(failure=FailureClass.UNSUPPORTED, param=error.param or "", message=error.message)
    if isinstance(error, ClientError):
        return WireEnd(failure=FailureClass.INVALID_REQUEST, param=error.param or "", message=error.message)
    if isinstance(error, NoCredential):
        return WireEnd(failure=FailureClass.UNAUTHENTICATED_UPSTREAM)
    return WireEnd(failure=FailureClass.SERVER_ERROR)


_DROPPED = "dropped:"


def _forbid_dropping(warnings: tuple[str, ...]) -> None:
    dropped = [warning.removeprefix(_DROPPED) for warning in warnings if warning.startswith(_DROPPED)]
    if dropped:
        raise Unprocessable(
            f"`{dropped[0]}` is not supported by any endpoint that may serve this; remove it, or require_parameters.",
            param=dropped[0],
        )


def _translate(request: WireRequest, target: UpstreamTarget, body: bytes, now_s: int) -> Translation:
    terms = request.terms
    return translate(
        dialect=terms.dialect,
        operation=terms.operation,
        upstream=target,
        body=body,
        content_type=terms.content_type,
        target=terms.target,
        client_headers=terms.client_headers,
        public_model=terms.public_model,
        stream=terms.stream,
        stateless=terms.stateless or terms.credential != "byok",
        output_tokens_max=request.output_tokens_max,
        upstream_stream=terms.upstream_stream,
        now_s=now_s,
        response_id=request.request_id,
    )


def _call_deadlines(request: WireRequest, upstream: UpstreamRequest) -> CallDeadlines:
    """The clocks of bytes. An answer that is no stream sends nothing, not even its head, before it is whole."""
    deadlines = request.deadlines
    headers_ms = deadlines.headers_ms if upstream.streams else deadlines.total_ms
    return CallDeadlines(deadlines.connect_ms, headers_ms, deadlines.between_bytes_ms, deadlines.total_ms)
