"""Whose credit is this about? The one seam through which this room learns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from handlers.errors import PermissionDenied
from handlers.keys.principal import KeyLimits
from handlers.keys.verification import KeyVerifier
from handlers.keys.waiting import WaitingVerifier


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
        self.verifier = WaitingVerifier(verifier)
        self._role = role

    def authenticate(self, headers: Mapping[str, str]) -> Customer:
        """The tenant and user of the key."""
        principal = self.verifier.authenticate(headers.get("authorization", ""))
        if principal.limits.ip_ranges:
            raise PermissionDenied("A key that is bound to IP ranges cannot be used for payments; use another.")
        unlimited = msgspec.structs.replace(principal.limits, management=False) == KeyLimits()
        return Customer(principal.account, unlimited and self._role(principal.user) in {"owner", "admin"})

    def close(self) -> None:
        """Stop the verifier."""
        self.verifier.close()
