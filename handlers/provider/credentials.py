"""The three kinds of secret that a provider pod holds, and nothing else of its kind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.catalog.entries import Provider
from handlers.clouds import KeptSecrets, SecretError, SecretStore
from handlers.clouds.secrets import Stage
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.sealing import SealBroken, SealContext, SealingKey, derive_public, seal
from handlers.keys.wire_token import verify_wire_token
from handlers.provider.signing import CredentialError, Signer, make_signer
from handlers.settings import Deployment, SettingError
from handlers.telemetry.logs import Dependency, DependencyLost, Level, Log, identifier
from handlers.transport.wire import WireRequest

SELF_HOSTED = "--"
"""The country of a provider that runs on this machine or in the user's own network."""


class NoCredential(Exception):
    """The pod holds no credential with which this request could be sent."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """Whose requests are served, and in whose name.

    Args:
        shared: our own credential at the provider; None when customers must bring theirs.
        wire_keys: with which gateways sign their requests, the one in use first; more than one while a key is rotated.
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
        token, record, endpoint = request.token, request.byok_record, request.terms.endpoint
        for key in self.wire_keys:
            if verify_wire_token(key, token, request.request_id, request.account, endpoint, record, now_s):
                return True
        return False

    def signer_for(self, request: WireRequest) -> Signer:
        """Signs as ourselves or as the customer; raises NoCredential. A customer's key lives as long as its request."""
        if request.terms.credential != "byok":
            if self.shared is None:
                raise NoCredential
            return self.shared
        try:
            opened = open_sealed(self.sealing_keys, request.byok_sealed, self._place(request))
            return make_signer(self.provider.auth, opened.decode(), self.base_url)
        except (SealBroken, CredentialError, UnicodeDecodeError):
            raise NoCredential from None

    def reseal(self, request: WireRequest) -> str:
        """The request's sealed key, sealed for the same place to our newest sealing key; raises NoCredential."""
        place = self._place(request)
        try:
            opened = open_sealed(self.sealing_keys, request.byok_sealed, place)
        except SealBroken:
            raise NoCredential from None
        newest = max(self.sealing_keys)
        return seal(SealingKey(newest, derive_public(self.sealing_keys[newest])), opened, place)

    def _place(self, request: WireRequest) -> SealContext:
        return SealContext(self.region, self.environment, self.provider.slug, request.account, request.byok_record)


def load_credentials(
    provider: Provider,
    base_url: str,
    deployment: Deployment,
    store: KeptSecrets,
    log: Log,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """Fetch what belongs to one provider, and nothing else.

    The wire key is required and read first, so that a store which cannot be reached stops the start. Without our shared
    credential the pod serves those who bring their own, without sealing keys those who bring none; the log tells.

    Raises:
        SecretError: the wire key cannot be read.
        SettingError: a secret is malformed.
    """
    slug = provider.slug
    wire_keys = [store.get(f"wire/{slug}").reveal()]
    wire_keys += [
        key.reveal() for stage in (Stage.PENDING, Stage.PREVIOUS) if (key := store.find(f"wire/{slug}", stage))
    ]
    return Credentials(
        provider=provider,
        base_url=base_url,
        region=deployment.region,
        environment=deployment.environment,
        shared=_shared_signer(provider, base_url, _shared_credential(provider, deployment, store, log, environment)),
        wire_keys=tuple(dict.fromkeys(wire_keys)),
        sealing_keys=_sealing_keys(store, slug, log),
    )


def _shared_credential(
    provider: Provider, deployment: Deployment, store: SecretStore, log: Log, environment: Mapping[str, str]
) -> str:
    """On one machine our credential may be a variable of this process alone; everywhere else it is in the store."""
    if provider.auth == "none":
        return ""
    if deployment.cloud == "local" and environment.get(provider.secret):
        return environment[provider.secret].strip()
    return _optional(store, f"provider/{provider.slug}", log).decode("utf-8", "replace").strip()


def _shared_signer(provider: Provider, base_url: str, credential: str) -> Signer | None:
    if not credential and provider.country == SELF_HOSTED:
        return make_signer("none", "", base_url)  # a server of one's own usually asks for none
    if not credential and provider.auth != "none":
        return None
    try:
        return make_signer(provider.auth, credential, base_url)
    except CredentialError as error:
        raise SettingError(f"the secret provider/{provider.slug} is malformed: {error}") from None


def _optional(store: SecretStore, name: str, log: Log) -> bytes:
    try:
        return store.get(name).reveal()
    except SecretError:
        log.emit(DependencyLost(level=Level.WARNING, dependency=Dependency.SECRETS, name=identifier(name)))
        return b""


def _sealing_keys(store: KeptSecrets, slug: str, log: Log) -> dict[int, bytes]:
    """The key in use, and those before that are not retired yet."""
    name = f"seal/{slug}"
    content = _optional(store, name, log)
    try:
        keys = parse_private_keys(content) if content else {}
    except ValueError as error:
        raise SettingError(f"the secret {name} is malformed: {error}") from None
    before = store.find(name, Stage.PREVIOUS)
    try:
        return {**parse_private_keys(before.reveal()), **keys} if before and keys else keys
    except ValueError:  # what stood there before somebody put the first key
        return keys
