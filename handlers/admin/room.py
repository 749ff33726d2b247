"""What the admin room holds. It mints API keys and seals provider keys; it can open neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handlers.admin.cookies import Cookies
from handlers.admin.identity import Issuer
from handlers.clouds.mail import Mailbox, NoMailbox
from handlers.keys.digests import DigestKeys
from handlers.keys.grammar import MintKeys
from handlers.keys.sealing import SealingKey
from handlers.keys.waiting import WaitingVerifier
from handlers.store.control import ControlStore
from handlers.store.restoration import RestoreGate
from handlers.telemetry.logs import Log

if TYPE_CHECKING:
    from handlers.admin.scanning import Scanner


@dataclass(frozen=True, kw_only=True)
class Room:
    """The parts of the room."""

    region: str
    environment: str
    behind_edge: bool = False
    """Whether clients come through the region's edge, which says where they are; else their own address is the last hop's."""
    public_url: str
    store: ControlStore
    verifier: WaitingVerifier
    gate: RestoreGate
    """Closed while the database is one that was put back."""
    mint_keys: MintKeys
    sealing_keys: Mapping[str, SealingKey]
    digests: DigestKeys
    log: Log
    cookies: Cookies
    issuer: Issuer | None = None
    """None: people cannot sign in, only keys."""
    scanner: Scanner | None = None
    """None: nobody tells us of keys in public."""
    mailbox: Mailbox = field(default_factory=NoMailbox)

    def __repr__(self) -> str:
        return f"Room(region={self.region!r})"
