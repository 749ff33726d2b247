"""Identities beside their secrets: this file says who may read what.

Each workload has one role and may read the secrets of its row and no others. Each provider has its own key, so that a
provider's role can decrypt nothing of another. A new secret holds a placeholder that no room accepts; `therouter bootstrap aws`
puts the first versions, and a later deployment leaves them alone.

A role stands beside the secrets that it reads because a grant across stacks would make the key's policy and the role wait for
one another; whoever runs under a role receives it from here.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from handlers.settings import Variable
from handlers.workloads import Kind, Workload, renewed_secrets, secrets, store_name
from stacks.base import RouterStack, accept
from stacks.settings import ROUTER_REGION, Settings

PLACEHOLDER = '{"placeholder":""}'
"""What Secrets Manager adds a random `value` to."""
_BY_HAND = "its value comes from outside AWS and is rotated by hand; the rotation function watches its age"


class SecretsStack(RouterStack):
    """Keys, secrets and the roles that may read them."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        super().__init__(scope, "Secrets", settings=settings, stateful=True)
        self.environment_key = self._key(
            "EnvironmentKey", "everything that is not one provider's or the payment company's"
        )
        self._keys = {"payments": self._key("PaymentsKey", "the payment company's credentials")}
        for slug in settings.providers:
            self._keys[slug] = self._key(f"Key-{slug}", f"what belongs to provider {slug} alone")
        self.secrets = {name: self._secret(name) for name in secrets(ROUTER_REGION, settings.providers)}
        self.roles = {workload.name: self._role(workload) for workload in settings.workloads}

    def _key(self, construct_id: str, purpose: str) -> kms.Key:
        return kms.Key(
            self,
            construct_id,
            description=f"TheRouter {self.settings.stage}: {purpose}",
            enable_key_rotation=True,
            rotation_period=cdk.Duration.days(self.policy.key_rotation_days),
            pending_window=cdk.Duration.days(self.policy.key_deletion_wait_days),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _key_of(self, secret: str) -> kms.Key:
        kind, _, subject = secret.partition("/")
        if kind == "payments":
            return self._keys["payments"]
        if kind in {"provider", "seal"} and subject in self._keys:
            return self._keys[subject]
        return self.environment_key

    def _secret(self, name: str) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            f"Secret-{name.replace('/', '-')}",
            secret_name=store_name(self.settings.stage, name),
            encryption_key=self._key_of(name),
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=PLACEHOLDER,
                generate_string_key="value",
                password_length=64,
                exclude_punctuation=True,
            ),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        accept(secret, "SMG4", _BY_HAND)
        return secret

    def _role(self, workload: Workload) -> iam.Role:
        role = iam.Role(
            self,
            f"Role-{workload.name}",
            assumed_by=_pod_identity() if workload.kind is Kind.POD else iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"TheRouter {self.settings.stage}: {workload.name}",
        )
        for name in workload.secrets:
            self.secrets[name].grant_read(role)
        if workload.name == "renewal":
            self._let_replace(role)
        if workload.kind is Kind.FUNCTION:
            self._let_run(role, workload)
        if Variable.MAIL in workload.variables:
            self._let_send(role)
        return role

    def _let_send(self, role: iam.Role) -> None:
        """Notices to people, from our one address."""
        sender = self.settings.mail_sender
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["ses:SendEmail"],
                resources=[f"arn:aws:ses:{self.region}:{self.account}:identity/{self.settings.zone_name}"],
                conditions={"StringEquals": {"ses:FromAddress": sender}},
            )
        )

    def _let_replace(self, role: iam.Role) -> None:
        """Put new versions and name their stages; of what it puts it can read nothing back.

        Secrets Manager encrypts and checks a value under its caller's name, so the keys are needed, through that service alone.
        """
        names = renewed_secrets(ROUTER_REGION, self.settings.providers)
        calls = ["DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"]
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[f"secretsmanager:{call}" for call in calls],
                resources=[self.secrets[name].secret_arn for name in names],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=list(dict.fromkeys(self._key_of(name).key_arn for name in names)),
                conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{self.region}.amazonaws.com"}},
            )
        )

    def _let_run(self, role: iam.Role, workload: Workload) -> None:
        """What every function needs: its own log group, and a network interface if it has a way to the database."""
        group = f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.settings.log_group(workload)}:*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group])
        )
        accept(role, f"IAM5[Resource::{group}]", "the streams of its own log group")
        if workload.database_role:
            role.add_to_policy(iam.PolicyStatement(actions=list(_INTERFACES), resources=["*"]))
            accept(role, "IAM5[Resource::*]", "Lambda attaches network interfaces, and EC2 knows no narrower resource")


_INTERFACES = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:UnassignPrivateIpAddresses",
)


def _pod_identity() -> iam.IPrincipal:
    return iam.SessionTagsPrincipal(iam.ServicePrincipal("pods.eks.amazonaws.com"))
