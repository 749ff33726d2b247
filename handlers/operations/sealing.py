"""The key that signs checkpoints and receipts, and what is signed with it."""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import origin_of, parse_signing_key, sign_note, verifier_of
from handlers.clouds import open_secret_store
from handlers.settings import Deployment, SettingError

SECRET = "audit/checkpoint"  # noqa: S105 - the name of a secret


class Sealer(NamedTuple):
    """A region's signing key."""

    region: str
    key: Ed25519PrivateKey

    @property
    def origin(self) -> str:
        """The name of the log and of the key."""
        return origin_of(self.region)

    @property
    def verifier(self) -> str:
        """The public key as text."""
        return verifier_of(self.origin, self.key)

    def sign(self, text: str) -> str:
        """A signed note of the text, which ends with a line break."""
        return sign_note(text, self.origin, self.key)

    def __repr__(self) -> str:
        return f"Sealer(region={self.region!r})"


@functools.cache
def open_sealer() -> Sealer:
    """The sealer of this process."""
    deployment = Deployment.parse(os.environ)
    try:
        return Sealer(deployment.region, parse_signing_key(open_secret_store(deployment).get(SECRET).reveal()))
    except ValueError as error:
        raise SettingError(str(error)) from None
