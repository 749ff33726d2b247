"""One account in Hangzhou: the products that operations ask, behind one loopback port, with signatures checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from handlers.operations.hangzhou.api import VERSIONS
from tests.handlers.clouds.acs3_check import refusal, signer
from tests.handlers.clouds.rpc_server import serving

KEY_ID, KEY_SECRET = "test-key-id", "made-up-" * 3
TAGS = {"therouter:auto-recovery": "true", "therouter:stage": "production"}


@dataclass
class Instance:
    """One ECS instance."""

    tags: dict[str, str] = field(default_factory=lambda: dict(TAGS))
    addresses: tuple[str, ...] = ()
    started_at: str = "2026-01-01T00:00Z"
    maintenance: str = "AutoRecover"
    health: str = "Ok"
    system_events: tuple[str, ...] = ()


@dataclass
class Account:
    """What the account holds; tests fill and read it."""

    instances: dict[str, Instance] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    """Address of a pod behind the load balancer -> healthy, or why not (a reason code), or leaving."""
    alarms: dict[str, str] = field(default_factory=dict)
    database_status: str = "Running"
    encryption_key: str = "key-1"
    retention_days: int = 14
    log_days: int = 14
    backups: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    rebooted: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Actions that the role does not allow."""
    calls: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Values of secrets by full name."""
    versions: set[tuple[str, str]] = field(default_factory=set)
    function: Callable[[str, bytes], Any] = lambda _name, _payload: {}
    """What runs when a function is invoked."""
    page_rows: int = 100
    _nonces: set[str] = field(default_factory=set)

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        action = headers["x-acs-action"]
        self.calls.append(action)
        if signer(headers) != KEY_ID:
            return 404, {"Code": "InvalidAccessKeyId.NotFound"}
        code = refusal(headers, body, KEY_SECRET, self._nonces)
        if code or action in self.refused:
            return (400, {"Code": code}) if code else (403, {"Code": "Forbidden.RAM", "Message": "canary"})
        if action == "InvokeFunction":
            return 200, self.function(headers[":path"].split("/")[3], body)
        form = dict(parse_qsl(body.decode()))
        assert form["RegionId"] == "cn-hangzhou"
        method: Callable[[dict[str, str]], Any] = getattr(
            self, "_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in action).strip("_")
        )
        return 200, method(form)

    def _paged(self, form: dict[str, str], rows: list[Any]) -> list[Any]:
        start = (int(form.get("PageNumber", "1")) - 1) * self.page_rows
        return rows[start : start + self.page_rows]

    def _describe_instances(self, form: dict[str, str]) -> Any:
        wanted = {form[f"Tag.{index}.Key"]: form[f"Tag.{index}.Value"] for index in (1, 2)}
        rows = [
            {"InstanceId": name, "StartTime": row.started_at}
            for name, row in self.instances.items()
            if wanted.items() <= row.tags.items()
        ]
        return {"TotalCount": len(rows), "Instances": {"Instance": self._paged(form, rows)}}

    def _describe_network_interfaces(self, form: dict[str, str]) -> Any:
        addresses = [{"PrivateIpAddress": address} for address in self.instances[form["InstanceId"]].addresses]
        return {"NetworkInterfaceSets": {"NetworkInterfaceSet": [{"PrivateIpSets": {"PrivateIpSet": addresses}}]}}

    def _named(self, form: dict[str, str]) -> list[str]:
        return [value for key, value in form.items() if key.startswith("InstanceId.")]

    def _describe_instance_maintenance_attributes(self, form: dict[str, str]) -> Any:
        rows = [
            {"InstanceId": name, "ActionOnMaintenance": {"Value": self.instances[name].maintenance}}
            for name in self._named(form)
        ]
        return {"MaintenanceAttributes": {"MaintenanceAttribute": rows}}

    def _modify_instance_maintenance_attributes(self, form: dict[str, str]) -> Any:
        for name in self._named(form):
            self.instances[name].maintenance = form["ActionOnMaintenance"]
        return {}

    def _reboot_instance(self, form: dict[str, str]) -> Any:
        self.rebooted.append(form["InstanceId"])
        return {}

    def _redeploy_instance(self, form: dict[str, str]) -> Any:
        self.moved.append(form["InstanceId"])
        return {}

    def _describe_instances_full_status(self, form: dict[str, str]) -> Any:
        rows = [
            {
                "InstanceId": name,
                "HealthStatus": {"Code": 0, "Name": self.instances[name].health},
                "ScheduledSystemEventSet": {
                    "ScheduledSystemEventType": [
                        {"EventType": {"Code": 1, "Name": event}} for event in self.instances[name].system_events
                    ]
                },
            }
            for name in self._named(form)
        ]
        return {"InstanceFullStatusSet": {"InstanceFullStatusType": rows}, "TotalCount": len(rows)}

    def _describe_metric_rule_list(self, form: dict[str, str]) -> Any:
        state = self.alarms.get(form["RuleIds"])
        return {"Alarms": {"Alarm": [{"AlertState": state}] if state else []}}

    def _list_listeners(self, form: dict[str, str]) -> Any:
        assert form["LoadBalancerIds.1"] == "alb-1"
        return {"Listeners": [{"ListenerId": "lsn-1"}]}

    def _get_listener_health_status(self, _form: dict[str, str]) -> Any:
        complaints = [
            {"ServerIp": address, "Status": "Unhealthy", "Reason": {"ReasonCode": state}}
            for address, state in self.servers.items()
            if state not in {"healthy", "leaving"}
        ]
        pods = {"ServerGroupId": "sgp-pods", "HealthCheckEnabled": "on", "NonNormalServers": complaints}
        functions = {"ServerGroupId": "sgp-fc", "HealthCheckEnabled": "off"}
        return {
            "ListenerHealthStatus": [{"ServerGroupInfos": [functions]}],
            "RuleHealthStatus": [{"ServerGroupInfos": [pods]}, {"ServerGroupInfos": [pods]}],
        }

    def _list_server_group_servers(self, form: dict[str, str]) -> Any:
        assert form["ServerGroupId"] == "sgp-pods"
        rows = [
            {"ServerIp": address, "Status": "Removing" if state == "leaving" else "Available"}
            for address, state in self.servers.items()
        ]
        return {"Servers": rows}

    def _describe_d_b_instance_attribute(self, _form: dict[str, str]) -> Any:
        return {"Items": {"DBInstanceAttribute": [{"DBInstanceStatus": self.database_status}]}}

    def _describe_backup_policy(self, _form: dict[str, str]) -> Any:
        return {"BackupRetentionPeriod": self.retention_days, "LogBackupRetentionPeriod": str(self.log_days)}

    def _describe_d_b_instance_encryption_key(self, _form: dict[str, str]) -> Any:
        return {"EncryptionKey": self.encryption_key}

    def _describe_backups(self, form: dict[str, str]) -> Any:
        rows = [{"BackupId": name, "BackupStartTime": at} for name, at in self.backups.items()]
        return {"TotalRecordCount": str(len(rows)), "Items": {"Backup": self._paged(form, rows)}}

    def _get_secret_value(self, form: dict[str, str]) -> Any:
        return {"SecretData": self.values[form["SecretName"]]}

    def _put_secret_value(self, form: dict[str, str]) -> Any:
        version = (form["SecretName"], form["VersionId"])
        assert version not in self.versions
        self.versions.add(version)
        self.values[form["SecretName"]] = form["SecretData"]
        return {}

    def _list_secrets(self, form: dict[str, str]) -> Any:
        rows = [{"SecretName": name, "UpdateTime": at} for name, at in self.secrets.items()]
        return {"TotalCount": len(rows), "SecretList": {"Secret": self._paged(form, rows)}}

    def _get_parameter(self, form: dict[str, str]) -> Any:
        return {"Parameter": {"Name": form["Name"], "Value": self.parameters[form["Name"]]}}

    def _update_parameter(self, form: dict[str, str]) -> Any:
        self.parameters[form["Name"]] = form["Value"]
        return {}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    cloud = Account()
    with serving(cloud.answer) as address:
        for product in VERSIONS:
            monkeypatch.setenv(f"ALIBABA_CLOUD_{product.upper()}_ENDPOINT", address)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY_SECRET)
        monkeypatch.setenv("THEROUTER_CLOUD", "aliyun")
        monkeypatch.setenv("THEROUTER_REGION", "china")
        monkeypatch.setenv("THEROUTER_ENVIRONMENT", "production")
        yield cloud


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)
