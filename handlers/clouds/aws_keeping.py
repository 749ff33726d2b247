"""New versions in Secrets Manager; see keeping.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from handlers.clouds.aws import LABELS, NOT_FOUND, AwsSecretStore
from handlers.clouds.keeping import Version, Versions, check_id
from handlers.clouds.secrets import SecretError, Stage, store_name

_STAGES = {label: stage for stage, label in LABELS.items()}


class _Description(msgspec.Struct, frozen=True):
    changed_s: float = msgspec.field(name="LastChangedDate")
    labels: dict[str, tuple[str, ...]] = msgspec.field(name="VersionIdsToStages", default_factory=dict)


class AwsKeeper:
    """A `SecretKeeper`. Needs PutSecretValue, UpdateSecretVersionStage and DescribeSecret, and no GetSecretValue."""

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._store = AwsSecretStore(environment, variables)

    def versions(self, name: str) -> Versions:
        """As SecretKeeper. Secrets Manager says when a secret changed last: a stage is at least as old as that."""
        answer = self._store.call("DescribeSecret", {"SecretId": store_name(self._environment, name)})
        if answer.status in {400, 404} and NOT_FOUND in answer.body[:512]:
            return {}
        if answer.status != 200:
            raise SecretError(f"the versions of {name} cannot be listed in Secrets Manager (status {answer.status})")
        try:
            found = msgspec.json.decode(answer.body, type=_Description)
        except msgspec.MsgspecError:
            raise SecretError(f"Secrets Manager's description of {name} cannot be read") from None
        since = datetime.fromtimestamp(found.changed_s, UTC)
        return {
            _STAGES[label]: Version(version, since)
            for version, labels in found.labels.items()
            for label in labels
            if label in _STAGES
        }

    def put_pending(self, name: str, value: bytes, version: str) -> None:
        """As SecretKeeper."""
        self._call(
            "PutSecretValue",
            name,
            ClientRequestToken=check_id(version),
            SecretString=value.decode(),
            VersionStages=[LABELS[Stage.PENDING]],
        )

    def promote(self, name: str, version: str) -> None:
        """As SecretKeeper."""
        held = self.versions(name)
        current, pending = held.get(Stage.CURRENT), held.get(Stage.PENDING)
        if current is None or current.id != version:
            before = {"RemoveFromVersionId": current.id} if current is not None else {}
            self._move(name, Stage.CURRENT, MoveToVersionId=version, **before)
        if pending is not None and pending.id == version:
            self._move(name, Stage.PENDING, RemoveFromVersionId=version)

    def retire(self, name: str) -> None:
        """As SecretKeeper."""
        previous = self.versions(name).get(Stage.PREVIOUS)
        if previous is not None:
            self._move(name, Stage.PREVIOUS, RemoveFromVersionId=previous.id)

    def _move(self, name: str, stage: Stage, **versions: str) -> None:
        self._call("UpdateSecretVersionStage", name, VersionStage=LABELS[stage], **versions)

    def _call(self, operation: str, name: str, **members: object) -> None:
        answer = self._store.call(operation, {"SecretId": store_name(self._environment, name), **members})
        if answer.status != 200:
            raise SecretError(f"{operation} of {name} was refused by Secrets Manager (status {answer.status})")
