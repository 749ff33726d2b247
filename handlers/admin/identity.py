"""Sign-in for people: OpenID Connect, authorization code with PKCE, any issuer.

Rules
    Only signatures with the issuer's published keys count, and only by ALGORITHMS; issuer, audience, times and nonce must fit.
    An address counts only when the issuer says that it is verified; after the first sign-in the subject alone counts.
    Between the two requests the browser keeps the state, signed by us; nothing of a sign-in is kept here.
    A person whose sign-in is older than STEP_UP_S is asked again by the issuer before dangerous acts (`prompt=login`).
    Keys and tokens are fetched from the issuer's own host and from those that the deployment names, whatever its
    discovery document says: it cannot send this room anywhere else.
    What the issuer says is never quoted; that it cannot be reached is an outage.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from handlers.errors import InvalidRequest, PermissionDenied, Unauthenticated, Unavailable
from handlers.settings import SettingError

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
FLOW_S = 600
CLOCK_DIFFERENCE_S = 60
TIMEOUT_S = 5.0
KEYS_S = 3_600.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ROLES_BY_MIGHT = ("owner", "admin", "billing", "auditor", "member", "viewer")


class Flow(msgspec.Struct, frozen=True):
    """What the browser keeps while its person is at the issuer."""

    state: str
    nonce: str
    verifier: str
    tenant: str
    goal: str
    """The path to go to afterwards."""
    expires_at: int


class Vouched(NamedTuple):
    """Whom the issuer vouches for."""

    subject: str
    email: str
    """Empty unless verified."""
    role: str | None
    """What the person's groups say; None: nothing."""
    proved_at: int


class _Configuration(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    nonce: str
    iat: int
    exp: int
    aud: str | list[str]
    iss: str
    azp: str = ""
    auth_time: int = 0
    email: str = ""
    email_verified: bool = False
    groups: list[str] = []


class Issuer:
    """One identity provider.

    Args:
        issuer: its address; https, or on this machine.
        client: our client id there.
        callback: where it sends people back to.
        keys: sign what browsers keep for us: the first what we give them, each what they bring.
        groups: its groups -> our roles.
        hosts: where else its keys and tokens may be.
    """

    def __init__(
        self,
        issuer: str,
        client: str,
        *,
        callback: str,
        keys: tuple[bytes, ...],
        groups: Mapping[str, str],
        hosts: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        address = urlsplit(issuer)
        if address.scheme != "https" and address.hostname not in LOOPBACK:
            raise SettingError("the issuer of sign-ins is reached over https")
        if any(role not in ROLES_BY_MIGHT for role in groups.values()):
            raise SettingError(f"the roles of groups are {', '.join(ROLES_BY_MIGHT)}")
        self._issuer, self._client, self._callback, self._clock = issuer.rstrip("/"), client, callback, clock
        self.renew(keys)
        self._groups = dict(groups)
        self._scheme, self._hosts = address.scheme, {address.hostname, *hosts}
        self._configuration: _Configuration | None = None
        self._keys: tuple[float, Any] = (0.0, None)

    def renew(self, keys: tuple[bytes, ...]) -> None:
        """Use these keys from now on."""
        self._flow_keys = tuple(hmac.digest(key, b"therouter sign-in", "sha256") for key in keys)

    def begin(self, tenant: str, goal: str, *, afresh: bool) -> tuple[str, str]:
        """(where to send the browser, what it keeps)."""
        flow = Flow(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            tenant=tenant,
            goal=goal,
            expires_at=int(self._clock()) + FLOW_S,
        )
        challenge = base64.urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._callback,
            "scope": "openid email",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if afresh else {}),
        }
        return f"{self._discover().authorization_endpoint}?{urlencode(query)}", self._pack(flow)

    def finish(self, kept: str, state: str, code: str) -> tuple[Flow, Vouched]:
        """Who came back.

        Raises:
            InvalidRequest: the browser brings nothing that we gave it, or not for this state.
            Unauthenticated: the issuer vouches for nobody.
            Unavailable: the issuer cannot be asked.
        """
        flow = self._unpack(kept)
        if flow is None or not hmac.compare_digest(flow.state.encode(), state.encode()):
            raise InvalidRequest(
                "This sign-in was not begun here or took too long; begin again.", code="sign_in_expired"
            )
        return flow, self._vouch(self._exchange(code, flow.verifier), flow.nonce)

    def _exchange(self, code: str, verifier: str) -> str:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "client_id": self._client,
            "code_verifier": verifier,
        }
        answer = _ask("POST", self._discover().token_endpoint, fields)
        if answer.status_code >= 500:
            raise _unreachable()
        try:
            return msgspec.json.decode(answer.content, type=_Tokens).id_token
        except msgspec.MsgspecError:
            raise Unauthenticated("The identity provider did not confirm the sign-in; begin again.") from None

    def _vouch(self, token: str, nonce: str) -> Vouched:
        try:
            claims = msgspec.convert(jwt.decode(token, self._key_set(), algorithms=ALGORITHMS).claims, type=_Claims)
        except (JoseError, ValueError, msgspec.ValidationError):
            raise _refused() from None
        now = self._clock()
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        fits = (
            claims.iss == self._issuer
            and self._client in audience
            and (len(audience) == 1 or claims.azp == self._client)
            and claims.exp > now - CLOCK_DIFFERENCE_S
            and abs(claims.iat - now) < FLOW_S + CLOCK_DIFFERENCE_S
            and hmac.compare_digest(claims.nonce.encode(), nonce.encode())
            and 0 < len(claims.sub) <= 255
        )
        if not fits:
            raise _refused()
        return Vouched(
            subject=claims.sub,
            email=claims.email if claims.email_verified else "",
            role=self._role_of(claims.groups),
            proved_at=min(claims.auth_time or claims.iat, int(now)),
        )

    def _role_of(self, groups: list[str]) -> str | None:
        """The mightiest role of the groups. Where groups are mapped, somebody without one may not come in."""
        if not self._groups:
            return None
        roles = {self._groups[group] for group in groups if group in self._groups}
        if not roles:
            raise PermissionDenied("None of your groups may use this; ask your administrator.", code="no_group")
        return min(roles, key=ROLES_BY_MIGHT.index)

    def _discover(self) -> _Configuration:
        if self._configuration is None:
            answer = _ask("GET", f"{self._issuer}/.well-known/openid-configuration")
            try:
                found = msgspec.json.decode(answer.content, type=_Configuration)
            except msgspec.MsgspecError:
                raise _unreachable() from None
            addresses = [urlsplit(address) for address in (found.token_endpoint, found.jwks_uri)]
            abroad = any(part.hostname not in self._hosts or part.scheme != self._scheme for part in addresses)
            if found.issuer.rstrip("/") != self._issuer or abroad:
                raise _unreachable()
            self._configuration = found
        return self._configuration

    def _key_set(self) -> Any:
        read_at, keys = self._keys
        if keys is None or self._clock() - read_at > KEYS_S:
            answer = _ask("GET", self._discover().jwks_uri)
            try:
                keys = KeySet.import_key_set(msgspec.json.decode(answer.content, type=dict[str, Any]))  # type: ignore[arg-type]
            except (msgspec.MsgspecError, JoseError, ValueError, KeyError):
                raise _unreachable() from None
            self._keys = (self._clock(), keys)
        return keys

    def _pack(self, flow: Flow) -> str:
        content = base64.urlsafe_b64encode(msgspec.json.encode(flow)).decode()
        return f"{content}.{hmac.digest(self._flow_keys[0], content.encode(), 'sha256').hex()}"

    def _unpack(self, kept: str) -> Flow | None:
        content, _, mac = kept.partition(".")
        expected = [hmac.digest(key, content.encode(), "sha256").hex() for key in self._flow_keys]
        if not any(hmac.compare_digest(mac.encode(), one.encode()) for one in expected):
            return None
        flow = msgspec.json.decode(base64.urlsafe_b64decode(content), type=Flow)
        return flow if flow.expires_at > self._clock() else None


def _ask(method: str, url: str, fields: Mapping[str, str] | None = None) -> httpx.Response:
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
            return client.request(method, url, data=fields)
    except httpx.HTTPError:
        raise _unreachable() from None


def _unreachable() -> Unavailable:
    return Unavailable("The identity provider cannot be reached now; retry shortly.", retry_after_s=5)


def _refused() -> Unauthenticated:
    return Unauthenticated("The identity provider's answer does not fit this sign-in; begin again.")
