"""Routes that need no principal, because they make one or bring proof of their own: sign-in and secret scanning."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta

from handlers.admin.calls import ANYBODY, Call, Redirect, Route
from handlers.admin.identity import FLOW_S, Issuer
from handlers.admin.shapes import Answer, Input, Uuid
from handlers.errors import InvalidRequest, NotFound, PermissionDenied

SESSION_S = 3_600
_PATH = re.compile(r"/(console|admin)[A-Za-z0-9/_.-]{0,200}")


class SignInQuery(Input, frozen=True):
    """`goal` is a path of ours; `afresh` asks the person to prove again who they are."""

    tenant: Uuid | None = None
    goal: Annotated[str, Meta(max_length=210)] = "/console"
    afresh: Literal["", "1"] = ""


class CallbackQuery(Input, frozen=True):
    """What the identity provider sends back."""

    code: Annotated[str, Meta(min_length=1, max_length=1024)] = ""
    state: Annotated[str, Meta(max_length=256)] = ""
    error: Annotated[str, Meta(max_length=256)] = ""
    error_description: Annotated[str, Meta(max_length=1024)] = ""
    iss: Annotated[str, Meta(max_length=256)] = ""
    session_state: Annotated[str, Meta(max_length=256)] = ""
    scope: Annotated[str, Meta(max_length=256)] = ""


class SignedOut(Answer, frozen=True):
    """Whether there was a session."""

    ended: bool


def _issuer(call: Call) -> Issuer:
    if call.room.issuer is None:
        raise NotFound("Sign-in for people is not set up here; use a management key.", code="sign_in_not_configured")
    return call.room.issuer


def begin_sign_in(call: Call) -> Redirect:
    """Send the browser to the identity provider."""
    query: SignInQuery = call.query
    if _PATH.fullmatch(query.goal) is None or ".." in query.goal:
        raise InvalidRequest("The goal is a path under /console or /admin.", param="goal")
    location, kept = _issuer(call).begin(query.tenant or "", query.goal, afresh=query.afresh == "1")
    return Redirect(location, call.room.cookies.flow(kept, FLOW_S))


def finish_sign_in(call: Call) -> Redirect:
    """Take the browser back from the identity provider and begin a session."""
    query: CallbackQuery = call.query
    if query.error or not query.code:
        raise PermissionDenied("The identity provider did not let you in; begin again.", code="sign_in_refused")
    flow, vouched = _issuer(call).finish(call.room.cookies.read_flow(call.headers), query.state, query.code)
    token = secrets.token_urlsafe(32)
    signed_in = call.room.store.sign_in(
        session_of(token),
        vouched.subject,
        vouched.email,
        tenant=flow.tenant or None,
        role=vouched.role,
        life_s=SESSION_S,
        proved_at=vouched.proved_at,
    )
    if signed_in is None:
        raise PermissionDenied(
            "You are not a user of exactly one tenant here; ask its administrator, or name the tenant.", code="no_user"
        )
    return Redirect(flow.goal, call.room.cookies.session(token, SESSION_S))


def sign_out(call: Call) -> SignedOut:
    """End the session of this browser."""
    token = call.room.cookies.read_session(call.headers)
    return SignedOut(ended=bool(token) and call.room.store.sign_out(session_of(token)))


def session_of(token: str) -> str:
    """What stands for a session's token in the database."""
    return sha256(token.encode()).hexdigest()


ROUTES = (
    Route("GET", "/admin/sign-in", ANYBODY, "Begin to sign in", begin_sign_in, Redirect, query=SignInQuery, status=302),
    Route(
        "GET",
        "/admin/sign-in/callback",
        ANYBODY,
        "Finish to sign in",
        finish_sign_in,
        Redirect,
        query=CallbackQuery,
        status=302,
    ),
    Route("POST", "/admin/sign-out", ANYBODY, "Sign out", sign_out, SignedOut),
)
