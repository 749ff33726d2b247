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

from aliyun.base import RECOVERY_TAG, Export, Resource, RouterStack, camel, sub
from aliyun.network import FUNCTION_LOG, NetworkStack
from aliyun.settings import REGION, ROUTER_REGION, Settings
from handlers.settings import Variable
from handlers.workloads import Kind, Workload, renewed_secrets, secrets, store_name

PLACEHOLDER = "Placeholder"
"""The NoEcho parameter that fills new containers."""


class SecretsStack(RouterStack):
    """Keys, secrets and the roles that may read them."""

    name = "secrets"

    def __init__(self, settings: Settings, *, network: NetworkStack) -> None:
        super().__init__(settings)
        self._log_project = self.use(network.log_project)
        self._store = self._build_store(network)
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

    def _build_store(self, network: NetworkStack) -> Resource:
        return self.add(
            "KeyStore",
            "ALIYUN::KMS::Instance",
            {
                "ProductVersion": self.settings.sizes.key_store,
                "KeyNum": 1_000,
                "SecretNum": 1_000,
                "Spec": 1_000,
                "VpcNum": 1,
                "Log": True,
                "LogStorage": 1_000,
                "Connection": {
                    "VpcId": self.use(network.vpc),
                    "VSwitchIds": [self.use(network.switches["function"][0])],
                    "ZoneIds": list(self.settings.zones[:2]),
                },
                "InstanceChargeType": "Subscription",
                "Period": 1,
                "PeriodUnit": "Month",
                "RenewStatus": "AutoRenewal",
                "RenewPeriod": 1,
            },
            retain=True,
        )

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
        """A function's role: its log, its secrets, and for operations what its duty needs."""
        name = self.physical(workload.name)
        account = self.settings.account
        log = sub(f"acs:log:*:{account}:project/${{Project}}/logstore/{FUNCTION_LOG}", Project=self._log_project)
        role = self.add(
            f"{camel(workload.name)}Role",
            "ALIYUN::RAM::Role",
            {
                "RoleName": name,
                "Description": f"The function {workload.name} and nothing else",
                "AssumeRolePolicyDocument": {
                    "Version": "1",
                    "Statement": [
                        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ["fc.aliyuncs.com"]}}
                    ],
                },
                "Policies": [
                    policy(f"{name}-log", allow(["log:PostLogStoreLogs"], [log])),
                    policy(f"{name}-image", *self._pulling()),
                    *self.reading(workload, self),
                    *(policy(f"{name}-duty", *rows) for rows in [self._duty(workload)] if rows),
                ],
            },
        )
        return self.export(f"{camel(workload.name)}RoleArn", role.att("Arn"), f"The role of {workload.name}")

    def _pulling(self) -> list[dict[str, Any]]:
        """A function's image comes from our repository alone."""
        here = f"acs:cr:{REGION}:{self.settings.account}"
        namespace, repository = self.settings.repository
        instance = f"{here}:instance/{self.settings.registry}"
        return [
            allow(["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint"], [instance]),
            allow(["cr:PullRepository"], [f"{here}:repository/{self.settings.registry}/{namespace}/{repository}"]),
        ]

    def _replacing(self) -> list[dict[str, Any]]:
        """Put new versions and name their stages; of what it puts it can read nothing back."""
        names = renewed_secrets(ROUTER_REGION, self.settings.providers)
        keys = dict.fromkeys(self._key_arns[self._owner(name)] for name in names)
        calls = ["kms:ListSecretVersionIds", "kms:PutSecretValue", "kms:UpdateSecretVersionStage"]
        return [
            allow(calls, [self.use(self.secrets[name]) for name in names]),
            allow(["kms:Decrypt", "kms:GenerateDataKey"], [self.use(arn) for arn in keys]),
        ]

    def _ours(self) -> dict[str, list[str]]:
        """The tags of our nodes."""
        return {f"ecs:tag/{RECOVERY_TAG}": ["true"], "ecs:tag/therouter:stage": [self.settings.stage]}

    def _duty(self, workload: Workload) -> list[dict[str, Any]]:
        """What operations may do beyond reading secrets: look, and for the watchdog reboot a node that carries our tag."""
        here = f"{REGION}:{self.settings.account}"
        nodes: list[Any] = [f"acs:ecs:{here}:instance/*"]
        secrets_here = f"acs:kms:{here}:secret"
        database = f"acs:rds:{here}:dbinstance/*"
        duties = {
            # It adds copies, and reads and removes none.
            "checkpoint": [allow(["oss:PutObject"], [f"acs:oss:*:*:{self.settings.archive}/checkpoints/*"])],
            "rotation": [
                allow(["kms:ListSecrets"], [secrets_here, f"{secrets_here}/{store_name(self.settings.stage, '*')}"])
            ],
            "renewal": self._replacing() if workload.name == "renewal" else [],
            "snapshot-check": [
                allow(
                    ["rds:DescribeBackups", "rds:DescribeBackupPolicy", "rds:DescribeDBInstanceEncryptionKey"],
                    [database],
                )
            ],
            "alarms": [
                allow(["ecs:DescribeInstances", "ecs:DescribeInstanceMaintenanceAttributes"], nodes),
                allow(["ecs:ModifyInstanceMaintenanceAttributes"], nodes, Condition={"StringEquals": self._ours()}),
            ],
            "watchdog": [
                allow(["ecs:DescribeInstances"], nodes),
                allow(["ecs:DescribeNetworkInterfaces"], [f"acs:ecs:{here}:networkinterface/*"]),
                allow(["ecs:RebootInstance"], nodes, Condition={"StringEquals": self._ours()}),
                allow(
                    ["alb:ListListeners", "alb:GetListenerHealthStatus", "alb:ListServerGroupServers"],
                    [f"acs:alb:{here}:{kind}/*" for kind in ("loadbalancer", "listener", "servergroup")],
                ),
                allow(["cms:DescribeMetricRuleList"], [f"acs:cms:{here}:*"]),
                allow(["rds:DescribeDBInstanceAttribute"], [database]),
                allow(
                    ["oos:GetParameter", "oos:UpdateParameter"],
                    [f"acs:oos:{here}:parameter/{self.physical('watchdog')}-*"],
                ),
            ],
        }
        rows = duties.get(workload.name, [])
        if Variable.MAIL in workload.variables:
            # DirectMail authorises by operation alone; a narrower resource would allow nothing.
            rows = [*rows, allow(["dm:SingleSendMail"], ["*"])]
        return rows


def allow(actions: list[str], resources: list[Any], **more: object) -> dict[str, Any]:
    """One statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def policy(name: str, *statements: dict[str, Any]) -> dict[str, Any]:
    """A policy that belongs to one role."""
    return {"PolicyName": name, "PolicyDocument": {"Version": "1", "Statement": list(statements)}}
