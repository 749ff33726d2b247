"""The database: PostgreSQL with a standby in another zone, reachable from the gateway's networks alone.

Functions that hold a database role come through the door, which stands in those networks (door.py).
"""

from __future__ import annotations

from aliyun.base import RouterStack
from aliyun.network import NetworkStack
from aliyun.secrets import SecretsStack
from aliyun.settings import Settings
from handlers.workloads import MASTER_USER

ENGINE_VERSION = "17.0"
DATABASE_NAME = "therouter"
MASTER_PASSWORD = "DatabaseOwnerPassword"  # noqa: S105 - the name of a NoEcho parameter
PARAMETERS = {
    "password_encryption": "scram-sha-256",
    "idle_in_transaction_session_timeout": "60000",
    # Statements are never logged: their parameters may be anybody's data.
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""Settings of the server; the timeout of statements comes from the policy."""


class DatabaseStack(RouterStack):
    """PostgreSQL: two zones, encrypted, backed up, private."""

    name = "database"

    def __init__(self, settings: Settings, *, network: NetworkStack, secrets: SecretsStack) -> None:
        super().__init__(settings)
        policy = settings.policy
        self._instance = self.add(
            "Database",
            "ALIYUN::RDS::DBInstance",
            {
                **self._placement(network),
                "Engine": "PostgreSQL",
                "EngineVersion": ENGINE_VERSION,
                "DBInstanceClass": settings.sizes.database,
                "DBInstanceDescription": self.physical("database"),
                "DBInstanceStorageType": "cloud_essd",
                "DBInstanceStorage": policy.database_storage_gb,
                "StorageAutoScale": "Enable",
                "StorageThreshold": 20,
                "StorageUpperBound": policy.database_storage_gb_max,
                "EncryptionKey": self.use(secrets.environment_key),
                "RoleARN": f"acs:ram::{settings.account}:role/aliyunrdsinstanceencryptiondefaultrole",
                "SSLSetting": "EnabledForInnerConnection",
                "MasterUsername": MASTER_USER,
                "MasterUserType": "Super",
                "MasterUserPassword": self.operator_value(
                    MASTER_PASSWORD, "Password of the schema's owner, 8 to 32 characters"
                ),
                "DeletionProtection": policy.database_deletion_protected,
                "AutoUpgradeMinorVersion": "Auto",
                "MaintainTime": "18:00Z-19:00Z",
                **self._backups(),
            },
            retain=True,
        )
        self._settle()
        self.instance = self.export("InstanceId", self._instance.att("DBInstanceId"), "What operations ask about")
        self.host = self.export("Host", self._instance.att("InnerConnectionString"), "Host name inside the VPC")
        self.port = self.export("Port", self._instance.att("InnerPort"), "Port")

    def _placement(self, network: NetworkStack) -> dict[str, object]:
        standby = self.policy.database_standby
        return {
            "Category": "HighAvailability" if standby else "Basic",
            "MultiAZ": standby,
            "ZoneId": self.settings.zones[0],
            "SlaveZoneIds": [self.settings.zones[1]] if standby else [],
            "VpcId": self.use(network.vpc),
            "VSwitchId": self.use(network.switches["database"][0]),
            "InstanceNetworkType": "VPC",
            "DBInstanceNetType": "Intranet",
            "AllocatePublicConnection": False,
            "SecurityIPList": ",".join(network.networks("gateway")),
        }

    def _backups(self) -> dict[str, object]:
        """Daily backups and the log between them: any second of the last days can be brought back."""
        days = self.policy.backup_retention_days
        week = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        return {
            "BackupPolicyMode": "DataBackupPolicy",
            "PreferredBackupPeriod": week,
            "PreferredBackupTime": "19:00Z-20:00Z",
            "BackupRetentionPeriod": days,
            "EnableBackupLog": True,
            "LogBackupRetentionPeriod": days,
            # Backups must not outlive the promised days because somebody deleted the instance.
            "ReleasedKeepPolicy": "None",
        }

    def _settle(self) -> None:
        parameters = PARAMETERS | {"statement_timeout": str(self.policy.database_statement_timeout_ms)}
        self.add(
            "Parameters",
            "ALIYUN::RDS::DBInstanceParameterGroup",
            {
                "DBInstanceId": self._instance.ref,
                "Forcerestart": "False",
                "Parameters": [{"Key": key, "Value": value} for key, value in sorted(parameters.items())],
            },
        )
        self.add(
            "Schema",
            "ALIYUN::RDS::Database",
            {"DBInstanceId": self._instance.ref, "DBName": DATABASE_NAME, "CharacterSetName": "UTF8,C.UTF-8,C.UTF-8"},
            retain=True,
        )
