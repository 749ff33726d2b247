"""Work on a clock: what is expired goes, what is lost is released, what is written is sealed, what is old is named.

Beside them stands migrate, which no clock calls: `therouter bootstrap aliyun` does, at deployments.
"""

from __future__ import annotations

from typing import Any

from aliyun.alerts import filled, run_every, tell_of_errors
from aliyun.base import Export, RouterStack
from aliyun.function import Surroundings, build_function
from aliyun.settings import Settings
from handlers.workloads import SECRET_ROOT

JOB_S_MAX = 840
ON_DEMAND = ("restore", "migrate")
"""Functions that a person calls."""


class JobsStack(RouterStack):
    """The operations functions that run on schedules, with the policy's numbers in their events."""

    name = "jobs"

    def __init__(self, settings: Settings, *, surroundings: Surroundings, alerts: Export) -> None:
        super().__init__(settings)
        self._build_archive()
        contacts = self.use(alerts)
        for name, (minutes, event) in self._schedule().items():
            (workload,) = (row for row in settings.workloads if row.name == name)
            function = build_function(self, workload, surroundings, timeout_s=JOB_S_MAX, concurrency=1)
            values = {"Database": self.use(surroundings.database.instance)} if "database" in event else {}
            run_every(self, name, function, minutes, filled(event, values))
            if name == "checkpoint":
                nightly = self.policy.rebuild_interval_hours * 60
                last_look: dict[str, object] = {"rebuild": True, "keep_days": self.policy.audit_retention_days}
                run_every(self, "nightly-checkpoint", function, nightly, filled(last_look, {}))
            tell_of_errors(self, name, function, contacts)
        for name in ON_DEMAND:
            (workload,) = (row for row in settings.workloads if row.name == name)
            function = build_function(self, workload, surroundings, timeout_s=JOB_S_MAX, concurrency=1)
            tell_of_errors(self, name, function, contacts)

    def _build_archive(self) -> None:
        """Copies of checkpoints. Nobody can change or remove one before its time: not the account's owner either."""
        bucket = self.add(
            "Archive",
            "ALIYUN::OSS::Bucket",
            {
                "BucketName": self.settings.archive,
                "AccessControl": "private",
                "BlockPublicAccess": True,
                "DeletionForce": False,
                "RedundancyType": "ZRS",
                "ServerSideEncryptionConfiguration": {"SSEAlgorithm": "AES256"},
                "StorageClass": "Standard",
            },
            retain=True,
        )
        self.add(
            "ArchiveLock",
            "ALIYUN::OSS::BucketWorm",
            {"Bucket": bucket.att("Name"), "RetentionPeriodInDays": self.policy.checkpoint_lock_days},
            retain=True,
        )

    def _schedule(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Function -> (minutes between runs, its event)."""
        policy = self.policy
        return {
            "purge": (
                policy.purge_interval_minutes,
                {
                    "retention_days_default": policy.metadata_retention_days_default,
                    "retention_days_min": policy.metadata_retention_days_min,
                    "retention_days_max": policy.metadata_retention_days_max,
                },
            ),
            "reap": (policy.reap_interval_minutes, {}),
            "spending": (policy.spending_interval_minutes, {}),
            "reconcile": (policy.reconcile_interval_hours * 60, {}),
            "checkpoint": (policy.checkpoint_interval_minutes, {}),
            "rotation": (
                policy.rotation_check_interval_hours * 60,
                {"prefix": f"{SECRET_ROOT}/{self.settings.stage}/", "age_days_max": policy.secret_age_days_max},
            ),
            "renewal": (
                policy.renewal_interval_minutes,
                {
                    "rotate_after_days": policy.secret_rotation_days,
                    "settle_s": policy.secret_settle_s,
                    "retire_s": policy.secret_retire_s,
                },
            ),
            "snapshot-check": (
                policy.snapshot_check_interval_hours * 60,
                {"database": "${Database}", "retention_days": policy.backup_retention_days},
            ),
        }
