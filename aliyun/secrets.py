"""Identities beside their secrets: this file says who may read what.

Each workload may read the secrets of its row and no others. Each provider has its own key, so that a provider's role can
decrypt nothing of another. No value is ever in a template: a container begins with a placeholder that no room accepts, the
operator puts the value through the secret store's own API, and a later deployment leaves it alone because the placeholder
has not changed.

Functions find their roles here. The roles of pods trust the cluster's own token issuer, so they stand beside the cluster,
with the same policy from `reading`.
"""

from __future__ import annotations

from typing import Any

from aliyun.base import Export, Resource, RouterStack
from aliyun.network import NetworkStack
from aliyun.parts.duties import allow, build_role, policy
from aliyun.parts.key_store import build_key_store
from aliyun.settings import REGION, ROUTER_REGION, Settings
from aliyun.texts import camel, sub
from handlers.workloads import Kind, Workload, renewed_secrets, secrets, store_name

PLACEHOLDER = "Placeholder"
"""The NoEcho parameter that fills new containers."""


class SecretsStack(RouterStack):
    """Keys, secrets and the roles that may read them."""

    name = "secrets"

    def __init__(self, settings: Settings, *, network: NetworkStack) -> None:
        super().__init__(settings)
        self._log_project = self.use(network.log_project)
        self._store = build_key_store(self, network)
        self._placeholder = self.operator_value(
            PLACEHOLDER, "What a new secret holds until the operator puts its value"
        )
        environment = self._key("environment", "everything that is not one provider's or the payment company's")
        self.environment_key = self.export("EnvironmentKeyId", environment.att("KeyId"), "The environment's key")
        self._keys = {"": environment, "payments": self._key("payments", "the payment company's credentials")}
        for slug in settings.providers:
            self._keys[slug] = self._key(f"provider-{slug}", f"what belongs to provider {slug} alone")
        self._key_arns = {owner: self._key_arn(owner, key) for owner, key in self._keys.items()}
        self.secrets = {name: self._secret(name) for name in secrets(ROUTER_REGION, settings.providers)}
        self.roles = {row.name: self._role(row) for row in settings.workloads if row.kind is Kind.FUNCTION}

    def reading(self, workload: Workload, stack: RouterStack) -> list[dict[str, Any]]:
        """The policy, in `stack`, by which a workload reads the secrets of its row; none if it has none."""
        if not workload.secrets:
            return []
        arns = [self.secrets[name] for name in workload.secrets]
        keys = dict.fromkeys(self._key_arns[self._owner(name)] for name in workload.secrets)
        return [
            policy(
                f"{self.physical(workload.name)}-secrets",
                allow(["kms:GetSecretValue"], [stack.use(arn) for arn in arns]),
                allow(["kms:Decrypt"], [stack.use(arn) for arn in keys]),
            )
        ]

    def _key(self, subject: str, purpose: str) -> Resource:
        key = self.add(
            f"{camel(subject)}Key",
            "ALIYUN::KMS::Key",
            {
                "DKMSInstanceId": self._store.att("InstanceId"),
                "Description": f"TheRouter {self.settings.stage}: {purpose}",
                "KeySpec": "Aliyun_AES_256",
                "KeyUsage": "ENCRYPT/DECRYPT",
                "EnableAutomaticRotation": True,
                "RotationInterval": f"{self.policy.key_rotation_days}d",
                "PendingWindowInDays": self.policy.key_deletion_wait_days,
                "DeletionProtection": True,
            },
            retain=True,
        )
        alias = {"AliasName": f"alias/{self.physical(subject)}", "KeyId": key.att("KeyId")}
        self.add(f"{camel(subject)}KeyAlias", "ALIYUN::KMS::Alias", alias)
        return key

    def _key_arn(self, owner: str, key: Resource) -> Export:
        arn = sub(f"acs:kms:{REGION}:{self.settings.account}:key/${{Id}}", Id=key.att("KeyId"))
        return self.export(f"{camel(owner or 'environment')}KeyArn", arn, f"The key of {owner or 'the environment'}")

    def _owner(self, secret: str) -> str:
        """Whose key encrypts a secret: a provider's, `payments`, or the environment's (empty)."""
        kind, _, subject = secret.partition("/")
        if kind == "payments":
            return "payments"
        return subject if kind in {"provider", "seal"} and subject in self._keys else ""

    def _secret(self, name: str) -> Export:
        secret = self.add(
            f"{camel(name)}Secret",
            "ALIYUN::KMS::Secret",
            {
                "SecretName": store_name(self.settings.stage, name),
                "SecretData": self._placeholder,
                "SecretDataType": "text",
                "VersionId": "placeholder",
                "DKMSInstanceId": self._store.att("InstanceId"),
                "EncryptionKeyId": self._keys[self._owner(name)].att("KeyId"),
                "ForceDeleteWithoutRecovery": False,
                "RecoveryWindowInDays": self.policy.key_deletion_wait_days,
            },
            retain=True,
        )
        return self.export(f"{camel(name)}SecretArn", secret.att("Arn"), f"The secret {name}")

    def _role(self, workload: Workload) -> Export:
        """A function's role: its log, its image, its secrets, and for operations what its duty needs."""
        more = self._replacing() if workload.name == "renewal" else []
        role = build_role(self, workload, self.reading(workload, self), more, log_project=self._log_project)
        return self.export(f"{camel(workload.name)}RoleArn", role.att("Arn"), f"The role of {workload.name}")

    def _replacing(self) -> list[dict[str, Any]]:
        """Put new versions and name their stages; of what it puts it can read nothing back."""
        names = renewed_secrets(ROUTER_REGION, self.settings.providers)
        keys = dict.fromkeys(self._key_arns[self._owner(name)] for name in names)
        calls = ["kms:ListSecretVersionIds", "kms:PutSecretValue", "kms:UpdateSecretVersionStage"]
        return [
            allow(calls, [self.use(self.secrets[name]) for name in names]),
            allow(["kms:Decrypt", "kms:GenerateDataKey"], [self.use(arn) for arn in keys]),
        ]
