"""The key that signs checkpoints and receipts, the one that will, and what is signed with them."""

from __future__ import annotations

import os
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import origin_of, parse_signing_key, sign_note, verifier_of
from handlers.clouds import KeptSecrets, open_secret_store
from handlers.clouds.secrets import Stage
from handlers.settings import Deployment, SettingError

SECRET = "audit/checkpoint"  # noqa: S105 - the name of a secret


class Sealer(NamedTuple):
    """A region's signing key."""

    region: str
    key: Ed25519PrivateKey
    coming: Ed25519PrivateKey | None = None
    """The key that `renewal` has prepared: the one in use hands over to it, and it signs when it is in use."""

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


def open_sealer() -> Sealer:
    """The keys as they are now: read anew for each run, so that a rotation is noticed."""
    deployment = Deployment.parse(os.environ)
    secrets = open_secret_store(deployment)
    try:
        return Sealer(deployment.region, parse_signing_key(secrets.get(SECRET).reveal()), _coming(secrets))
    except ValueError as error:
        raise SettingError(str(error)) from None


def _coming(secrets: KeptSecrets) -> Ed25519PrivateKey | None:
    """What is malformed is not handed over to, and `renewal` says that it waits."""
    pending = secrets.find(SECRET, Stage.PENDING)
    try:
        return parse_signing_key(pending.reveal()) if pending else None
    except ValueError:
        return None
