"""The three kinds of secret that a provider pod holds, and nothing else of its kind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from handlers.catalog.entries import Provider
from handlers.clouds import SecretMissing, SecretStore
from handlers.keys.opening import open_sealed
from handlers.keys.sealing import SealBroken, SealContext
from handlers.keys.wire_token import verify_wire_token
from handlers.provider.signing import CredentialError, Signer, make_signer
from handlers.settings import Deployment, SettingError
from handlers.transport.wire import WireRequest


class NoCredential(Exception):
    """The pod holds no credential with which this request could be sent."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """Whose requests are served, and in whose name.

    Args:
        shared: our own credential at the provider; None when customers must bring theirs.
        wire_keys: with which gateways sign their requests, newest first; more than one while a key is rotated.
        sealing_keys: private keys by version, to open what customers have sealed.
    """

    provider: Provider
    base_url: str
    region: str
    environment: str
    shared: Signer | None
    wire_keys: tuple[bytes, ...]
    sealing_keys: Mapping[int, bytes]

    def vouches_for(self, request: WireRequest, now_s: float) -> bool:
        """Whether a gateway of ours sent exactly this request, a moment ago."""
        return any(
            verify_wire_token(
                key, request.token, request.request_id, request.account, request.endpoint, request.byok_record, now_s
            )
            for key in self.wire_keys
        )

    def signer_for(self, request: WireRequest) -> Signer:
        """Signs as ourselves or as the customer; raises NoCredential. A customer's key lives as long as its request."""
        if request.credential != "byok":
            if self.shared is None:
                raise NoCredential
            return self.shared
        context = SealContext(self.region, self.environment, self.provider.slug, request.account, request.byok_record)
        try:
            opened = open_sealed(self.sealing_keys, request.byok_sealed, context)
            return make_signer(self.provider.auth, opened.decode(), self.base_url)
        except (SealBroken, CredentialError, UnicodeDecodeError):
            raise NoCredential from None


def load_credentials(
    provider: Provider,
    base_url: str,
    deployment: Deployment,
    store: SecretStore,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """Fetch what belongs to one provider, and nothing else. Raises SettingError for what is missing or malformed.

    On one machine our shared credential may also be a variable of this process alone (`Provider.secret`).
    """
    slug = provider.slug
    shared = None
    credential = _shared_credential(provider, deployment, store, environment)
    if credential or provider.auth == "none":
        try:
            shared = make_signer(provider.auth, credential, base_url)
        except CredentialError as error:
            raise SettingError(f"provider/{slug}: {error}") from None
    return Credentials(
        provider=provider,
        base_url=base_url,
        region=deployment.region,
        environment=deployment.environment,
        shared=shared,
        wire_keys=(_required(store, f"wire/{slug}"),),
        sealing_keys=_sealing_keys(store, slug),
    )


def _required(store: SecretStore, name: str) -> bytes:
    try:
        return store.get(name).reveal()
    except SecretMissing:
        raise SettingError(f"the secret {name} is missing: put it into the secret store") from None


def _shared_credential(
    provider: Provider, deployment: Deployment, store: SecretStore, environment: Mapping[str, str]
) -> str:
    if deployment.cloud == "local" and environment.get(provider.secret):
        return environment[provider.secret].strip()
    try:
        return store.get(f"provider/{provider.slug}").text().strip()
    except SecretMissing:
        return ""


def _sealing_keys(store: SecretStore, slug: str) -> dict[int, bytes]:
    """Private keys by version: JSON such as {"1": "<32 bytes in base64>"}."""
    try:
        return msgspec.json.decode(store.get(f"seal/{slug}").reveal(), type=dict[int, bytes])
    except SecretMissing:
        return {}
    except msgspec.DecodeError:
        raise SettingError(f"the secret seal/{slug} is JSON of key versions and 32 bytes each in base64") from None
