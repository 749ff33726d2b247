"""Work on a clock: what is expired goes, what is lost is released, what is written is sealed, what is old is named.

Beside them stands migrate, which no clock calls: `therouter bootstrap aws` does, at deployments.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from handlers.workloads import SECRET_ROOT
from stacks.alerts import run_every, tell_of_errors
from stacks.base import RouterStack, accept
from stacks.function import Surroundings, build_function
from stacks.parts.bucket import closed_bucket
from stacks.settings import Settings

JOB_S_MAX = 840
ON_DEMAND = ("restore", "migrate")
"""Functions that a person calls."""


class JobsStack(RouterStack):
    """The operations functions that run on schedules, with the policy's numbers in their events."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        surroundings: Surroundings,
        database: rds.DatabaseInstance,
        topic: sns.Topic,
    ) -> None:
        super().__init__(scope, "Jobs", settings=settings)
        self._let_read(surroundings)
        self._build_archive(surroundings)
        for name, (interval, event) in self._schedule(database).items():
            (workload,) = (row for row in settings.workloads if row.name == name)
            function = build_function(self, workload, surroundings, timeout_s=JOB_S_MAX, concurrency=1)
            run_every(self, f"Every-{name}", function, interval, event)
            if name == "checkpoint":
                nightly = cdk.Duration.hours(self.policy.rebuild_interval_hours)
                last_look: dict[str, object] = {"rebuild": True, "keep_days": self.policy.audit_retention_days}
                run_every(self, "Nightly-checkpoint", function, nightly, last_look)
            tell_of_errors(self, function, topic)
        self._let_migrate(surroundings.roles["migrate"], database)
        for name in ON_DEMAND:
            (workload,) = (row for row in settings.workloads if row.name == name)
            tell_of_errors(
                self, build_function(self, workload, surroundings, timeout_s=JOB_S_MAX, concurrency=1), topic
            )

    def _schedule(self, database: rds.DatabaseInstance) -> dict[str, tuple[cdk.Duration, dict[str, object]]]:
        policy = self.policy
        return {
            "purge": (
                cdk.Duration.minutes(policy.purge_interval_minutes),
                {
                    "retention_days_default": policy.metadata_retention_days_default,
                    "retention_days_min": policy.metadata_retention_days_min,
                    "retention_days_max": policy.metadata_retention_days_max,
                },
            ),
            "reap": (cdk.Duration.minutes(policy.reap_interval_minutes), {}),
            "spending": (cdk.Duration.minutes(policy.spending_interval_minutes), {}),
            "reconcile": (cdk.Duration.hours(policy.reconcile_interval_hours), {}),
            "checkpoint": (cdk.Duration.minutes(policy.checkpoint_interval_minutes), {}),
            "rotation": (
                cdk.Duration.hours(policy.rotation_check_interval_hours),
                {"prefix": f"{SECRET_ROOT}/{self.settings.stage}/", "age_days_max": policy.secret_age_days_max},
            ),
            "renewal": (
                cdk.Duration.minutes(policy.renewal_interval_minutes),
                {
                    "rotate_after_days": policy.secret_rotation_days,
                    "settle_s": policy.secret_settle_s,
                    "retire_s": policy.secret_retire_s,
                },
            ),
            "snapshot-check": (
                cdk.Duration.hours(policy.snapshot_check_interval_hours),
                {"database": database.instance_identifier, "retention_days": policy.backup_retention_days},
            ),
        }

    def _build_archive(self, surroundings: Surroundings) -> None:
        """Copies of checkpoints. Nobody can change or remove one before its time: not the account's root user either."""
        days = cdk.Duration.days(self.policy.checkpoint_lock_days)
        bucket = closed_bucket(
            self,
            "Archive",
            bucket_name=self.settings.archive,
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.compliance(days),
        )
        copies = bucket.arn_for_objects("checkpoints/*")
        policy = iam.Policy(
            self,
            "May-checkpoint",
            roles=[surroundings.roles["checkpoint"]],
            statements=[iam.PolicyStatement(actions=["s3:PutObject"], resources=[copies])],
        )
        accept(
            policy, "IAM5[Resource::<ArchiveDA4CB258.Arn>/checkpoints/*]", "it adds copies, and reads and removes none"
        )

    def _let_migrate(self, role: iam.Role, database: rds.DatabaseInstance) -> None:
        """The master's password, which the database service made and rotates."""
        instance = database.node.default_child
        assert isinstance(instance, rds.CfnDBInstance)  # noqa: S101 - narrows a type at synthesis
        master = iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue"], resources=[instance.attr_master_user_secret_secret_arn]
        )
        key = iam.PolicyStatement(actions=["kms:Decrypt"], resources=[instance.kms_key_id or ""])
        iam.Policy(self, "May-migrate", roles=[role], statements=[master, key])

    def _let_read(self, surroundings: Surroundings) -> None:
        reads = {
            "rotation": ["secretsmanager:ListSecrets"],
            "snapshot-check": [
                "rds:DescribeDBInstances",
                "rds:DescribeDBInstanceAutomatedBackups",
                "rds:DescribeDBSnapshots",
            ],
        }
        for name, calls in reads.items():
            policy = iam.Policy(
                self,
                f"May-{name}",
                roles=[surroundings.roles[name]],
                statements=[iam.PolicyStatement(actions=calls, resources=["*"])],
            )
            accept(
                policy, "IAM5[Resource::*]", "lists know no narrower resource; they read names and dates, no content"
            )
