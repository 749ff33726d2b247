"""New versions of KMS secrets in Hangzhou; see keeping.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime

import msgspec

from handlers.clouds.aliyun import LABELS, NOT_FOUND, AliyunSecretStore
from handlers.clouds.aliyun_api import code_of
from handlers.clouds.keeping import Version, Versions, check_id
from handlers.clouds.secrets import SecretError, Stage, store_name

_STAGES = {label: stage for stage, label in LABELS.items()}
PAGE_ROWS = 100


class _Labels(msgspec.Struct, frozen=True):
    labels: tuple[str, ...] = msgspec.field(name="VersionStage", default=())


class _Row(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="VersionId")
    created_at: datetime = msgspec.field(name="CreateTime")
    stages: _Labels = msgspec.field(name="VersionStages", default=_Labels())


class _Rows(msgspec.Struct, frozen=True):
    rows: tuple[_Row, ...] = msgspec.field(name="VersionId", default=())


class _Page(msgspec.Struct, frozen=True):
    versions: _Rows = msgspec.field(name="VersionIds", default=_Rows())


class AliyunKeeper:
    """A `SecretKeeper`. Needs PutSecretValue, UpdateSecretVersionStage and ListSecretVersionIds, and no GetSecretValue."""

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._kms = AliyunSecretStore(environment, variables).kms

    def versions(self, name: str) -> Versions:
        """As SecretKeeper. KMS lists only versions that have a stage: at most one for each."""
        form = {"SecretName": store_name(self._environment, name), "PageSize": str(PAGE_ROWS)}
        answer = self._kms.call("ListSecretVersionIds", form)
        if answer.status in {400, 403, 404} and code_of(answer) == NOT_FOUND:
            return {}
        if answer.status != 200:
            raise SecretError(f"the versions of {name} cannot be listed in KMS (status {answer.status})")
        try:
            rows = msgspec.json.decode(answer.body, type=_Page).versions.rows
        except msgspec.MsgspecError:
            raise SecretError(f"the list of versions of {name} in KMS cannot be read") from None
        return {
            _STAGES[label]: Version(row.id, row.created_at)
            for row in rows
            for label in row.stages.labels
            if label in _STAGES
        }

    def put_pending(self, name: str, value: bytes, version: str) -> None:
        """As SecretKeeper."""
        stages = msgspec.json.encode([LABELS[Stage.PENDING]]).decode()
        form = {"VersionId": check_id(version), "SecretData": value.decode(), "SecretDataType": "text"}
        self._call("PutSecretValue", name, {**form, "VersionStages": stages})

    def promote(self, name: str, version: str) -> None:
        """As SecretKeeper."""
        held = self.versions(name)
        current, pending = held.get(Stage.CURRENT), held.get(Stage.PENDING)
        if current is None or current.id != version:
            before = {"RemoveFromVersion": current.id} if current is not None else {}
            self._move(name, Stage.CURRENT, {"MoveToVersion": version, **before})
        if pending is not None and pending.id == version:
            self._move(name, Stage.PENDING, {"RemoveFromVersion": version})

    def retire(self, name: str) -> None:
        """As SecretKeeper. KMS never removes this label; it can be moved, to the version in use."""
        held = self.versions(name)
        current, previous = held.get(Stage.CURRENT), held.get(Stage.PREVIOUS)
        if current is not None and previous is not None and previous.id != current.id:
            self._move(name, Stage.PREVIOUS, {"RemoveFromVersion": previous.id, "MoveToVersion": current.id})

    def _move(self, name: str, stage: Stage, versions: Mapping[str, str]) -> None:
        self._call("UpdateSecretVersionStage", name, {"VersionStage": LABELS[stage], **versions})

    def _call(self, action: str, name: str, form: Mapping[str, str]) -> None:
        answer = self._kms.call(action, {"SecretName": store_name(self._environment, name), **form})
        if answer.status != 200:
            raise SecretError(f"{action} of {name} was refused by KMS (status {answer.status})")
