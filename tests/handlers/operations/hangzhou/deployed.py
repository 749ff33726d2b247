"""An account in which the templates were deployed: the products that verification asks answer from what the templates say.

Every resource has the physical id `<stack>/<logical id>`. Tests change `live` (the properties as the products have them now) and leave
`templates` (what was deployed) alone. Signatures are checked, and every call must be a reading one.
"""

from __future__ import annotations

import base64
import copy
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tests.handlers.clouds.acs3_check import refusal, signer
from tests.handlers.operations.hangzhou.conftest import KEY_ID, KEY_SECRET

ACCOUNT = "1000000000000001"
Fields = dict[str, Any]


class Deployed:
    """One account."""

    def __init__(self, templates: dict[str, Fields]) -> None:
        self.templates = {name.removesuffix(".json"): body for name, body in templates.items()}
        self.live: dict[str, Fields] = {
            f"{stack}/{logical}": {"Type": row["Type"], **copy.deepcopy(row.get("Properties", {}))}
            for stack, body in self.templates.items()
            for logical, row in body["Resources"].items()
        }
        self.nodes: dict[str, str] = {"i-a": "AutoRecover", "i-b": "AutoRecover"}
        self.read_replicas: list[str] = []
        self.public_ways: list[str] = []
        self.backups: dict[str, datetime] = {"b-1": datetime.now(UTC) - timedelta(days=1)}
        self.secret_ages = dict.fromkeys(self._names("KMS::Secret", "SecretName"), datetime.now(UTC))
        self.attached: dict[str, list[Fields]] = {}
        """Role -> further policies, attached by hand."""
        self.refused: set[str] = set()
        self.calls: list[str] = []
        self._nonces: set[str] = set()

    # The wire

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if headers.get("authorization", "").startswith("LOG "):
            return self._log(headers)
        action = headers["x-acs-action"]
        self.calls.append(action)
        if signer(headers) != KEY_ID:
            return 404, {"Code": "InvalidAccessKeyId.NotFound"}
        if code := refusal(headers, body, KEY_SECRET, self._nonces):
            return 400, {"Code": code}
        if action in self.refused:
            return 403, {"Code": "Forbidden.RAM", "Message": "canary"}
        if headers[":method"] == "GET":
            return 200, self._path(action, headers[":path"])
        form = dict(parse_qsl(body.decode()))
        assert form["RegionId"] == "cn-hangzhou"
        name = "_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in action).strip("_")
        method: Callable[[Fields], Any] = getattr(self, name)
        return 200, method(form)

    def _log(self, headers: dict[str, str]) -> tuple[int, Any]:
        """Simple Log Service, version 1 of its signature, read from its description."""
        self.calls.append("GetLogStore")
        special = "\n".join(f"{k}:{v}" for k, v in sorted(headers.items()) if k.startswith(("x-log-", "x-acs-")))
        text = f"GET\n\n\n{headers['date']}\n{special}\n{headers[':path']}"
        right = base64.b64encode(hmac.new(KEY_SECRET.encode(), text.encode(), "sha1").digest()).decode()
        if headers["authorization"] != f"LOG {KEY_ID}:{right}":
            return 401, {"errorCode": "SignatureNotMatch"}
        store = headers[":path"].removeprefix("/logstores/")
        rows = [row for row in self.of("SLS::Logstore").values() if row["LogstoreName"] == store]
        return (200, {"ttl": rows[0]["TTL"]}) if rows else (404, {"errorCode": "LogStoreNotExist"})

    # What there is

    def of(self, kind: str, stack: str = "") -> dict[str, Fields]:
        """Physical id -> properties, live."""
        rows = self.live.items()
        return {name: row for name, row in rows if row["Type"] == f"ALIYUN::{kind}" and name.startswith(stack)}

    def one(self, kind: str, stack: str = "") -> Fields:
        (found,) = self.of(kind, stack).values()
        return found

    def _names(self, kind: str, field: str) -> list[str]:
        return [str(row[field]) for row in self.of(kind).values()]

    def value(self, stack: str, what: Any) -> Any:
        """A property with its references filled in."""
        if isinstance(what, dict):
            if "Ref" in what:
                return self._reference(stack, what["Ref"])
            if "Fn::GetAtt" in what:
                logical, attribute = what["Fn::GetAtt"]
                return self._attribute(stack, logical, attribute)
            if "Fn::Sub" in what:
                text, values = what["Fn::Sub"]
                filled = {name: self.value(stack, inner) for name, inner in values.items()}
                return re.sub(r"\$\{(\w+)\}", lambda m: str(filled[m[1]]), text)
            return {key: self.value(stack, inner) for key, inner in what.items()}
        return [self.value(stack, inner) for inner in what] if isinstance(what, list) else what

    def _reference(self, stack: str, name: str) -> Any:
        if name in self.templates[stack]["Resources"]:
            return f"{stack}/{name}"
        for other, body in self.templates.items():
            key = name.removeprefix(other.capitalize())
            if name.startswith(other.capitalize()) and key in body["Outputs"]:
                return self.value(other, body["Outputs"][key]["Value"])
        return f"hidden-{name}"

    def _attribute(self, stack: str, logical: str, attribute: str) -> str:
        if attribute == "Arn" and self.live[f"{stack}/{logical}"]["Type"] == "ALIYUN::KMS::Secret":
            return f"acs:kms:cn-hangzhou:{ACCOUNT}:secret/{self.live[f'{stack}/{logical}']['SecretName']}"
        if attribute == "ARN":
            return f"acs:fc:cn-hangzhou:{ACCOUNT}:functions/{self.live[f'{stack}/{logical}']['FunctionName']}"
        return f"{stack}/{logical}" if attribute != "Name" else str(self.live[f"{stack}/{logical}"].get("Name"))

    # Reading calls

    def _list_stacks(self, form: Fields) -> Any:
        wanted = form["StackName.1"]
        rows = [
            {"StackId": name, "StackName": f"therouter-production-{name}", "Status": "CREATE_COMPLETE"}
            for name in self.templates
        ]
        return {"Stacks": [row for row in rows if row["StackName"] == wanted]}

    def _list_stack_resources(self, form: Fields) -> Any:
        stack = form["StackId"]
        return {
            "Resources": [
                {"LogicalResourceId": name, "PhysicalResourceId": f"{stack}/{name}", "ResourceType": row["Type"]}
                for name, row in self.templates[stack]["Resources"].items()
            ]
        }

    def _get_template(self, form: Fields) -> Any:
        return {"TemplateBody": msgspec.json.encode(self.templates[form["StackId"]]).decode()}

    def _describe_d_b_instance_attribute(self, form: Fields) -> Any:
        row = self.live[form["DBInstanceId"]]
        copies = [{"DBInstanceId": name} for name in self.read_replicas]
        told = {"Category": row["Category"], "DeletionProtection": row["DeletionProtection"]}
        return {"Items": {"DBInstanceAttribute": [{**told, "ReadOnlyDBInstanceIds": {"ReadOnlyDBInstanceId": copies}}]}}

    def _describe_d_b_instance_i_p_array_list(self, form: Fields) -> Any:
        lists = ["127.0.0.1", self.live[form["DBInstanceId"]]["SecurityIPList"]]
        return {"Items": {"DBInstanceIPArray": [{"SecurityIPList": text} for text in lists]}}

    def _describe_d_b_instance_net_info(self, _form: Fields) -> Any:
        rows = [{"ConnectionString": "inner", "IPType": "Private"}]
        rows += [{"ConnectionString": name, "IPType": "Public"} for name in self.public_ways]
        return {"DBInstanceNetInfos": {"DBInstanceNetInfo": rows}}

    def _describe_d_b_instance_encryption_key(self, form: Fields) -> Any:
        return {"EncryptionKey": "key" if self.live[form["DBInstanceId"]].get("EncryptionKey") else ""}

    def _describe_backup_policy(self, form: Fields) -> Any:
        row = self.live[form["DBInstanceId"]]
        return {
            "BackupRetentionPeriod": row["BackupRetentionPeriod"],
            "LogBackupRetentionPeriod": str(row["LogBackupRetentionPeriod"]),
            "EnableBackupLog": "1" if row["EnableBackupLog"] else "0",
        }

    def _describe_backups(self, form: Fields) -> Any:
        rows = [{"BackupId": k, "BackupStartTime": f"{v:%Y-%m-%dT%H:%M:%SZ}"} for k, v in self.backups.items()]
        return {"TotalRecordCount": str(len(rows)), "Items": {"Backup": rows if form["PageNumber"] == "1" else []}}

    def _describe_v_switch_attributes(self, form: Fields) -> Any:
        return {"CidrBlock": self.live[form["VSwitchId"]]["CidrBlock"]}

    def _describe_security_group_attribute(self, form: Fields) -> Any:
        return {"Permissions": {"Permission": self.live[form["SecurityGroupId"]]["SecurityGroupIngress"]}}

    def _get_site_delivery_task(self, form: Fields) -> Any:
        row = self.one("ESA::SiteDeliveryTask")
        assert row["TaskName"] == form["TaskName"]
        return {"FieldList": row["FieldName"]}

    def _list_waf_rules(self, form: Fields) -> Any:
        rows = [row for row in self.of("ESA::WafRule").values() if row["Phase"] == form["Phase"]]
        return {"Rules": [{"Status": row["Config"]["Status"], "Config": row["Config"]} for row in rows]}

    def _list_cache_rules(self, _form: Fields) -> Any:
        return {"Configs": list(self.of("ESA::CacheRule").values())}

    def _get_origin_protection(self, _form: Fields) -> Any:
        return {"OriginConverge": self.one("ESA::OriginProtection")["OriginConverge"]}

    def _list_https_basic_configurations(self, _form: Fields) -> Any:
        return {"Configs": list(self.of("ESA::HttpsBasicConfiguration").values())}

    def _list_custom_response_code_rules(self, _form: Fields) -> Any:
        rows = self.of("ESA::CustomResponseCodeRule").values()
        return {"Configs": [{key: row[key] for key in ("Rule", "ReturnCode", "RuleEnable")} for row in rows]}

    def _list_roles(self, _form: Fields) -> Any:
        names = self._names("RAM::Role", "RoleName")
        rows = [{"RoleName": name, "Arn": f"acs:ram::{ACCOUNT}:role/{name}"} for name in names]
        return {"Roles": {"Role": rows}}

    def _role(self, name: str) -> tuple[str, Fields]:
        return next((p.partition("/")[0], row) for p, row in self.of("RAM::Role").items() if row["RoleName"] == name)

    def _get_role(self, form: Fields) -> Any:
        stack, row = self._role(form["RoleName"])
        document = self.value(stack, row["AssumeRolePolicyDocument"])
        return {
            "Role": {"RoleName": row["RoleName"], "AssumeRolePolicyDocument": msgspec.json.encode(document).decode()}
        }

    def _policies(self, name: str) -> list[Fields]:
        stack, row = self._role(name)
        policies: list[Fields] = self.value(stack, row.get("Policies", []))
        return [*policies, *self.attached.get(name, [])]

    def _list_policies_for_role(self, form: Fields) -> Any:
        rows = [{"PolicyName": row["PolicyName"], "PolicyType": "Custom"} for row in self._policies(form["RoleName"])]
        return {"Policies": {"Policy": rows}}

    def _get_policy(self, form: Fields) -> Any:
        names = self._names("RAM::Role", "RoleName")
        found = next(p for name in names for p in self._policies(name) if p["PolicyName"] == form["PolicyName"])
        return {"DefaultPolicyVersion": {"PolicyDocument": msgspec.json.encode(found["PolicyDocument"]).decode()}}

    def _describe_secret(self, form: Fields) -> Any:
        physical, row = next(
            (p, row) for p, row in self.of("KMS::Secret").items() if row["SecretName"] == form["SecretName"]
        )
        stack, logical = physical.split("/")
        arn = self._attribute(stack, logical, "Arn")
        return {"Arn": arn, "EncryptionKeyId": self.value("secrets", row["EncryptionKeyId"])}

    def _list_secrets(self, form: Fields) -> Any:
        rows = [{"SecretName": n, "UpdateTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for n, at in self.secret_ages.items()]
        page = rows if form["PageNumber"] == "1" else []
        return {"TotalCount": len(rows), "SecretList": {"Secret": page}}

    def _describe_instances(self, _form: Fields) -> Any:
        rows = [{"InstanceId": name} for name in self.nodes]
        return {"TotalCount": len(rows), "Instances": {"Instance": rows}}

    def _describe_instance_maintenance_attributes(self, _form: Fields) -> Any:
        rows = [{"InstanceId": n, "ActionOnMaintenance": {"Value": v}} for n, v in self.nodes.items()]
        return {"MaintenanceAttributes": {"MaintenanceAttribute": rows}}

    def _describe_metric_rule_list(self, form: Fields) -> Any:
        rows = [row for row in self.of("CMS::ResourceMetricRule").values() if row["RuleId"] == form["RuleIds"]]
        return {"Alarms": {"Alarm": [{"Escalations": row["Escalations"]} for row in rows]}}

    def _describe_metric_rule_targets(self, form: Fields) -> Any:
        rows = self.of("CMS::MetricRuleTargets", "watchdog").values()
        arns = [self.value("watchdog", target["Arn"]) for row in rows for target in row["Targets"]]
        assert form["RuleId"] == "therouter-production-unresponsive"
        return {"Targets": {"Target": [{"Arn": arn} for arn in arns]}}

    def _describe_site_monitor_attribute(self, form: Fields) -> Any:
        row = self.live[form["TaskId"]]
        return {
            "SiteMonitors": {
                "Address": row["Address"],
                "Interval": str(row["Interval"]),
                "IspCities": {"IspCity": row["IspCities"]},
            }
        }

    def _path(self, action: str, path: str) -> Any:
        if action == "DescribeClusterDetail":
            row = self.live[path.removeprefix("/clusters/")]
            addresses = {"intranet_api_server_endpoint": "https://10.64.0.9:6443"}
            if row["EndpointPublicAccess"]:
                addresses["api_server_endpoint"] = "https://203.0.113.9:6443"
            return {
                "master_url": msgspec.json.encode(addresses).decode(),
                "deletion_protection": row["DeletionProtection"],
                "parameters": {"EncryptionProviderKey": "key" if row.get("EncryptionProviderKey") else ""},
            }
        assert action == "GetTrigger"
        function, trigger = path.split("/")[3], path.split("/")[5]
        for physical, row in self.of("FC3::Trigger").items():
            stack = physical.partition("/")[0]
            target = self.live[f"{stack}/{row['FunctionName']['Fn::GetAtt'][0]}"]
            if (target["FunctionName"], row["TriggerName"]) == (function, trigger):
                return {"triggerConfig": msgspec.json.encode(self.value(stack, row["TriggerConfig"])).decode()}
        raise AssertionError(path)
