"""Whose credit is this about? The one seam through which this room learns it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from handlers.errors import PermissionDenied, Unauthenticated, Unavailable
from handlers.keys.principal import KeyLimits
from handlers.keys.verification import KeyVerifier

WAIT_S_MAX = 10


class Customer(msgspec.Struct, frozen=True):
    """Who asks."""

    tenant: str
    manages: bool
    """May charge kept methods, send money back, and change the profile; everybody else may look and top up."""


class Authenticator(Protocol):
    """Turns the headers of a request into the customer who sent it."""

    def authenticate(self, headers: Mapping[str, str]) -> Customer:
        """The customer.

        Raises:
            Unauthenticated: nobody we know.
            Unavailable: it cannot be decided now.
        """
        ...


class KeyAuthenticator:
    """Customers by API key: `Authorization: Bearer sk-tr-...`.

    A key manages when it belongs to an owner or admin and carries no limits of its own: a limited key is one that was given
    to an application.

    Args:
        verifier: used on a loop of its own, since it is asynchronous and this room is not.
        role: the role of a user id.
    """

    def __init__(self, verifier: KeyVerifier, role: Callable[[str], str]) -> None:
        self._verifier = verifier
        self._role = role
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="key-verifier", daemon=True)
        self._thread.start()

    def authenticate(self, headers: Mapping[str, str]) -> Customer:
        """The tenant and user of the key."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.isascii():
            raise Unauthenticated("Send your API key as Authorization: Bearer sk-tr-...")
        verdict = asyncio.run_coroutine_threadsafe(self._verifier.authenticate(token.strip().encode()), self._loop)
        try:
            principal = verdict.result(WAIT_S_MAX)
        except TimeoutError:
            verdict.cancel()
            raise Unavailable("The API key cannot be verified now; retry shortly.", retry_after_s=2) from None
        if principal.limits.ip_ranges:
            raise PermissionDenied("A key that is bound to IP ranges cannot be used for payments; use another.")
        unlimited = principal.limits == KeyLimits()
        return Customer(principal.account, unlimited and self._role(principal.user) in {"owner", "admin"})

    def close(self) -> None:
        """Stop the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
