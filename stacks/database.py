"""PostgreSQL: one instance with a standby in another zone, reachable from the gateway's nodes alone.

Functions that hold a database role come through the door, which stands on those nodes (door.py).

The instance kind of Multi-AZ and not the cluster kind: readable standbys broke snapshot isolation where the instance kind did
not. Fourteen days of automated backups are also fourteen days of point-in-time recovery.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from handlers.workloads import DATABASE_PORT, MASTER_USER
from stacks.base import RouterStack, accept
from stacks.network import Groups
from stacks.settings import Settings

ENGINE = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
CLASSES = {"production": "m7g.large", "staging": "t4g.medium", "small": "t4g.small"}


class DatabaseStack(RouterStack):
    """The instance, its parameters, its key and its group."""

    def __init__(
        self, scope: Construct, *, settings: Settings, vpc: ec2.Vpc, subnets: ec2.SubnetSelection, groups: Groups
    ) -> None:
        super().__init__(scope, "Database", settings=settings, stateful=True)
        self.group = self._build_group(vpc, groups)
        self.instance = self._build_instance(vpc, subnets, self._build_key())
        self.host = self.instance.db_instance_endpoint_address

    def _build_key(self) -> kms.Key:
        return kms.Key(
            self,
            "Key",
            description=f"TheRouter {self.settings.stage}: the database, its backups and its snapshots",
            enable_key_rotation=True,
            rotation_period=cdk.Duration.days(self.policy.key_rotation_days),
            pending_window=cdk.Duration.days(self.policy.key_deletion_wait_days),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _build_group(self, vpc: ec2.Vpc, groups: Groups) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="the database", allow_all_outbound=False)
        group.add_ingress_rule(groups.gateway_nodes, ec2.Port.tcp(DATABASE_PORT), "the gateway's pool and nobody else")
        return group

    def _build_parameters(self) -> rds.ParameterGroup:
        return rds.ParameterGroup(
            self,
            "Parameters",
            engine=ENGINE,
            description=f"TheRouter {self.settings.stage}",
            parameters={
                "rds.force_ssl": "1",
                "ssl_min_protocol_version": "TLSv1.2",
                "password_encryption": "scram-sha-256",
                "statement_timeout": str(self.policy.database_statement_timeout_ms),
                "idle_in_transaction_session_timeout": "60000",
                # Statements are never logged: their parameters may be anybody's data.
                "log_statement": "none",
                "log_min_duration_statement": "-1",
                "log_min_error_statement": "panic",
                "log_min_messages": "fatal",
                "log_parameter_max_length": "0",
                "log_parameter_max_length_on_error": "0",
            },
        )

    def _build_instance(self, vpc: ec2.Vpc, subnets: ec2.SubnetSelection, key: kms.Key) -> rds.DatabaseInstance:
        protected = self.policy.database_deletion_protected
        instance = rds.DatabaseInstance(
            self,
            "Instance",
            engine=ENGINE,
            instance_type=ec2.InstanceType(CLASSES[self.settings.stage]),
            vpc=vpc,
            vpc_subnets=subnets,
            security_groups=[self.group],
            publicly_accessible=False,
            multi_az=self.policy.database_standby,
            database_name="therouter",
            credentials=rds.Credentials.from_username(MASTER_USER, encryption_key=key),
            manage_master_user_password=True,
            iam_authentication=True,
            parameter_group=self._build_parameters(),
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
            storage_encrypted=True,
            storage_encryption_key=key,
            storage_type=rds.StorageType.GP3,
            allocated_storage=self.policy.database_storage_gb,
            max_allocated_storage=self.policy.database_storage_gb_max,
            backup_retention=cdk.Duration.days(self.policy.backup_retention_days),
            # They outlive a deleted instance and still end after the promised days.
            delete_automated_backups=False,
            copy_tags_to_snapshot=True,
            deletion_protection=protected,
            removal_policy=cdk.RemovalPolicy.RETAIN if protected else cdk.RemovalPolicy.DESTROY,
            auto_minor_version_upgrade=True,
            enable_performance_insights=False,
        )
        self._accept_findings(instance)
        return instance

    def _accept_findings(self, instance: rds.DatabaseInstance) -> None:
        accept(instance, "RDS11", "the default port is reachable from one security group alone; another hides nothing")
        if not self.policy.database_standby:
            accept(instance, "RDS3", "the small stage has no standby, which its policy says")
        if not self.policy.database_deletion_protected:
            accept(instance, "RDS10", "the staging stage holds nobody's data and is thrown away")
