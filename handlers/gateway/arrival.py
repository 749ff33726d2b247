"""What the head of a request says to the gateway, worked out once for all requests of a connection that repeat it.

SDKs send the same head again and again, but for the length of the body. Whatever follows from it alone (route, key, the
headers that travel along) is noted on it; a connection that sends another head starts anew. What can change while the head
stays the same (whose key it is, what the account may do) is asked for each time, by what is noted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.errors import InvalidRequest, Unauthenticated
from handlers.gateway.authorize import Grant, authorize
from handlers.gateway.claims import HEADER as IDEMPOTENCY_KEY

if TYPE_CHECKING:
    from handlers.gateway.attempts import Attempt
    from handlers.gateway.byok import ByokChoice
    from handlers.gateway.call import Call
    from handlers.gateway.eligibility import Candidates, Eligibility
    from handlers.gateway.routes import Route
    from handlers.keys.principal import Principal
    from handlers.keys.verification import KeyVerifier
    from handlers.transport.request_head import RequestHead
    from handlers.transport.wire import WireTerms

MISSING_KEY = (
    "Send a valid TheRouter key as `Authorization: Bearer sk-tr-...`. Keys are made with `therouter keys create`."
)
SESSION_BYTES_MAX = 256
_KEY_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")
_KEY_BYTES_MAX = 512
_PROTOCOL_HEADERS = frozenset(
    {b"anthropic-version", b"anthropic-beta", b"openai-beta", b"x-goog-api-client", b"x-therouter-padding"}
)


class Arrival:
    """Notes on one head."""

    __slots__ = (
        "_candidates", "_digest", "_grant", "_token", "content_type", "idempotency_key", "protocol_headers", "route", "session",
        "terms", "wants_facts",
    )  # fmt: skip

    def __init__(self, head: RequestHead, route: Route) -> None:
        self.route = route
        self.content_type = head.get(b"content-type")
        self.idempotency_key = head.get(IDEMPOTENCY_KEY)
        self.session = (head.get(b"x-session-id") or b"")[:SESSION_BYTES_MAX].decode("latin-1")
        self.protocol_headers = tuple(
            (name.decode(), value.decode("latin-1")) for name, value in head.headers if name in _PROTOCOL_HEADERS
        )
        """What the provider's pod shall see."""
        self.wants_facts = head.get(b"x-openrouter-metadata") == b"enabled"
        """The answer's body shall say who served it, too."""
        self.terms: tuple[Attempt, object, WireTerms] | None = None
        """(attempt, kind of call, what the pod was told) of the last request of this head (dispatch.py)."""
        self._token: bytes | None = None
        self._digest = b""
        self._grant: Grant | None = None
        self._candidates: tuple[object, Grant, Eligibility, Candidates] | None = None
        """Of the last call, if more of its kind may come: (kind, grant, for which catalogue, who may serve it)."""

    def principal(self, head: RequestHead, verifier: KeyVerifier) -> Principal | None:
        """Whose key the head presents, if that is known now; raises what `presented_key` raises."""
        if self._token is None:
            self._token = presented_key(head)
            self._digest = verifier.digest_of(self._token)
        return verifier.recall(self._digest)

    def grant(self, principal: Principal, peer: str, choice: ByokChoice) -> Grant:
        """As `authorize`: the same grant again while nothing that it follows from is another."""
        grant = self._grant
        if grant is None or grant.principal is not principal or grant.byok is not choice:
            grant = self._grant = authorize(principal, peer, choice)
        return grant

    def candidates(self, call: Call, grant: Grant, eligibility: Eligibility) -> Candidates:
        """Who may serve a call: as before while nothing that it follows from is another."""
        kind, last = call.known_as, self._candidates
        if kind is None:
            return eligibility.candidates(call, grant)
        if last is None or last[0] is not kind or last[1] is not grant or last[2] is not eligibility:
            last = self._candidates = kind, grant, eligibility, eligibility.candidates(call, grant)
        return last[3]


def presented_key(head: RequestHead) -> bytes:
    """The one key of a request. Two different ones are refused: never "first wins" (A06)."""
    authorization = head.get(b"authorization")
    found: bytes | None = None
    if authorization is not None:
        if authorization[:7].lower() != b"bearer " or b" " in authorization[7:] or b"," in authorization:
            raise Unauthenticated(MISSING_KEY)
        found = authorization[7:]
    for name in _KEY_HEADERS:
        other = head.get(name)
        if other is None:
            continue
        if found is not None and other != found:
            raise InvalidRequest("The request carries two different keys; send one.", code="ambiguous_credentials")
        found = other
    if not found or len(found) > _KEY_BYTES_MAX:
        raise Unauthenticated(MISSING_KEY)
    return found
