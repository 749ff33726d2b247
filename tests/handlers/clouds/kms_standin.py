"""The part of KMS in Hangzhou that keeps secrets in versions, as its documentation tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tests.handlers.clouds.rpc_server import serving

SYSTEM_LABELS = frozenset({"ACSCurrent", "ACSPrevious"})


class _Version:
    def __init__(self, data: str, labels: set[str]) -> None:
        self.data, self.labels, self.created_at = data, labels, datetime.now(UTC)


class Kms:
    """One account's secrets. Nothing is signed here; test_acs3.py is about that."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, _Version]] = {}
        self.calls: list[str] = []

    def create(self, name: str, data: str) -> None:
        self.secrets[name] = {"first": _Version(data, {"ACSCurrent"})}

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        action = headers["x-acs-action"]
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        self.calls.append(action)
        versions = self.secrets.get(form["SecretName"])
        if versions is None:
            return 404, {"Code": "Forbidden.ResourceNotFound"}
        work = {
            "GetSecretValue": self._get,
            "PutSecretValue": self._put,
            "UpdateSecretVersionStage": self._move,
            "ListSecretVersionIds": self._list,
        }[action]
        return work(versions, form)

    def _get(self, versions: dict[str, _Version], form: dict[str, str]) -> tuple[int, Any]:
        label = form.get("VersionStage", "ACSCurrent")
        found = next((version for version in versions.values() if label in version.labels), None)
        return (200, {"SecretData": found.data}) if found else (404, {"Code": "Forbidden.ResourceNotFound"})

    def _put(self, versions: dict[str, _Version], form: dict[str, str]) -> tuple[int, Any]:
        labels = set(msgspec.json.decode(form.get("VersionStages", '["ACSCurrent"]'), type=list[str]))
        before = versions.get(form["VersionId"])
        if before is not None:
            return (200, {}) if before.data == form["SecretData"] else (409, {"Code": "Rejected.ResourceExist"})
        assert "ACSCurrent" not in labels, "whoever rotates puts a version to come"
        for version in versions.values():
            version.labels -= labels
        versions[form["VersionId"]] = _Version(form["SecretData"], labels)
        return 200, {}

    def _move(self, versions: dict[str, _Version], form: dict[str, str]) -> tuple[int, Any]:
        label, before, after = form["VersionStage"], form.get("RemoveFromVersion"), form.get("MoveToVersion")
        if label in SYSTEM_LABELS and after is None:
            return 400, {"Code": "InvalidParameter"}  # the service's own labels are moved and never removed
        if before is not None:
            if label not in versions[before].labels:
                return 400, {"Code": "InvalidParameter"}
            versions[before].labels.discard(label)
        if after is not None:
            for version in versions.values():
                version.labels.discard(label)
            versions[after].labels.add(label)
        if label == "ACSCurrent" and before is not None:
            for version in versions.values():
                version.labels.discard("ACSPrevious")
            versions[before].labels.add("ACSPrevious")
        return 200, {}

    def _list(self, versions: dict[str, _Version], _form: dict[str, str]) -> tuple[int, Any]:
        rows = [
            {
                "VersionId": name,
                "CreateTime": f"{version.created_at:%Y-%m-%dT%H:%M:%SZ}",
                "VersionStages": {"VersionStage": sorted(version.labels)},
            }
            for name, version in versions.items()
            if version.labels
        ]
        return 200, {"VersionIds": {"VersionId": rows}, "TotalCount": len(rows)}


@contextmanager
def kms_standin() -> Iterator[tuple[Kms, dict[str, str]]]:
    """(the secrets, the variables of a process that finds them here)."""
    kms = Kms()
    with serving(kms.answer) as address:
        yield (
            kms,
            {
                "ALIBABA_CLOUD_KMS_ENDPOINT": address,
                "ALIBABA_CLOUD_ACCESS_KEY_ID": "tests",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "made-for-tests",
            },
        )
