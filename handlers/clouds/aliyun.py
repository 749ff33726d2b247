"""Secrets from Alibaba Cloud KMS in Hangzhou: the mirror of aws.py. Identity and calls: aliyun_api.py.

What a deployment put into a new container is a placeholder and never a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from handlers.clouds.aliyun_api import AliyunApi, code_of
from handlers.clouds.secrets import Secret, SecretError, SecretMissing, Stage, store_name

KMS_VERSION = "2016-01-20"
PLACEHOLDER_PREFIX = b"placeholder:"
LABELS = {Stage.CURRENT: "ACSCurrent", Stage.PREVIOUS: "ACSPrevious", Stage.PENDING: "Pending"}
"""The first two are the service's own, the third is ours."""
NOT_FOUND = "Forbidden.ResourceNotFound"


class _SecretAnswer(msgspec.Struct, frozen=True):
    data: str = msgspec.field(name="SecretData")


class AliyunSecretStore:
    """Reads `therouter/<environment>/<kind>/<subject>` from KMS secrets in Hangzhou.

    Raises SecretError when an endpoint lies outside the region.
    """

    def __init__(self, environment: str, variables: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self.kms = AliyunApi("kms", KMS_VERSION, variables)

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        """One version of a secret; SecretError when it is missing or KMS does not answer."""
        form = {"SecretName": store_name(self._environment, name), "VersionStage": LABELS[stage]}
        answer = self.kms.call("GetSecretValue", form)
        if answer.status in {400, 403, 404} and code_of(answer) == NOT_FOUND:
            raise SecretMissing(f"there is no secret {name} in KMS ({stage} version): put a value")
        if answer.status != 200:
            raise SecretError(f"the secret {name} cannot be read from KMS (status {answer.status})")
        try:
            value = msgspec.json.decode(answer.body, type=_SecretAnswer).data.encode()
        except msgspec.MsgspecError:
            raise SecretError(f"the answer of KMS about {name} cannot be read") from None
        if not value or value.startswith(PLACEHOLDER_PREFIX):
            raise SecretError(f"the secret {name} has no value in KMS yet: put one")
        return Secret(value)
