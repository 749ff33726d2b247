"""The checker catches each seeded mistake and names the file and the property."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from aliyun.check import Finding, check, references
from aliyun.rules import judge
from aliyun.schema import load
from aliyun.settings import Settings

Templates = dict[str, dict[str, Any]]


def findings(templates: Templates, settings: Settings) -> list[Finding]:
    return [found for name, body in templates.items() for found in (*check(name, body), *judge(name, body, settings))]


def resource(templates: Templates, stack: str, logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = templates[f"{stack}.json"]["Resources"][logical_id]
    return found


def properties(templates: Templates, stack: str, logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = resource(templates, stack, logical_id)["Properties"]
    return found


class Mistake(NamedTuple):
    """One seeded mistake, and where the checker must point."""

    name: str
    seed: Callable[[Templates], object]
    template: str
    path: str


def put(stack: str, logical_id: str, **values: object) -> Callable[[Templates], object]:
    return lambda templates: properties(templates, stack, logical_id).update(values)


def drop(stack: str, logical_id: str, name: str) -> Callable[[Templates], object]:
    return lambda templates: properties(templates, stack, logical_id).pop(name)


def _statement(templates: Templates, stack: str, role: str, policy: int = -1) -> dict[str, Any]:
    found: dict[str, Any] = properties(templates, stack, role)["Policies"][policy]["PolicyDocument"]["Statement"][0]
    return found


def _first_rule(templates: Templates) -> dict[str, Any]:
    found: dict[str, Any] = properties(templates, "ingress", "EdgeGroup")["SecurityGroupIngress"][0]
    return found


def _admit(templates: Templates, network: str) -> None:
    database = properties(templates, "database", "Database")
    database["SecurityIPList"] += f",{network}"


# What ROS would refuse.
STRUCTURAL = (
    Mistake(
        "wrong enum",
        put("database", "Database", SSLSetting="Enabled"),
        "database.json",
        "Database.Properties.SSLSetting",
    ),
    Mistake(
        "unknown property", put("database", "Database", Backups=14), "database.json", "Database.Properties.Backups"
    ),
    Mistake(
        "missing property",
        drop("database", "Database", "EngineVersion"),
        "database.json",
        "Database.Properties.EngineVersion",
    ),
    Mistake(
        "wrong type",
        put("database", "Database", DBInstanceStorage="100"),
        "database.json",
        "Database.Properties.DBInstanceStorage",
    ),
    Mistake(
        "out of range",
        put("database", "Database", LogBackupRetentionPeriod=5),
        "database.json",
        "Database.Properties.LogBackupRetentionPeriod",
    ),
    Mistake("wrong pattern", put("network", "Logs", Name="no spaces"), "network.json", "Logs.Properties.Name"),
    Mistake(
        "too long",
        put("secrets", "EnvironmentKeyAlias", AliasName="a" * 300),
        "secrets.json",
        "EnvironmentKeyAlias.Properties.AliasName",
    ),
    Mistake(
        "list too long",
        put("database", "Database", SlaveZoneIds=["a", "b", "c"]),
        "database.json",
        "Database.Properties.SlaveZoneIds",
    ),
    Mistake("dangling Ref", put("network", "Nat0", VpcId={"Ref": "Vcp"}), "network.json", "Nat0.Properties.VpcId"),
    Mistake(
        "unknown attribute",
        put("network", "Nat0", VpcId={"Fn::GetAtt": ["Vpc", "Id"]}),
        "network.json",
        "Nat0.Properties.VpcId",
    ),
    Mistake(
        "attribute of nothing",
        put("network", "Nat0", VpcId={"Fn::GetAtt": ["Vcp", "VpcId"]}),
        "network.json",
        "Nat0.Properties.VpcId",
    ),
    Mistake(
        "unknown function",
        put("network", "Nat0", VpcId={"Fn::ImportValue": "Vpc"}),
        "network.json",
        "Nat0.Properties.VpcId",
    ),
    Mistake(
        "unknown variable",
        put("trail", "Trail", SlsProjectArn={"Fn::Sub": "acs:${Nobody}"}),
        "trail.json",
        "Trail.Properties.SlsProjectArn",
    ),
    Mistake(
        "unknown type",
        lambda t: resource(t, "trail", "Trail").update(Type="ALIYUN::ACTIONTRAIL::Trial"),
        "trail.json",
        "Trail.Type",
    ),
    Mistake(
        "unknown section of a resource",
        lambda t: resource(t, "trail", "Trail").update(Condition="x"),
        "trail.json",
        "Trail.Condition",
    ),
    Mistake(
        "dangling DependsOn",
        lambda t: resource(t, "trail", "Trail").update(DependsOn=["Nobody"]),
        "trail.json",
        "Trail.DependsOn",
    ),
    Mistake("circle", lambda t: resource(t, "network", "Vpc").update(DependsOn=["Nat0"]), "network.json", "Nat0"),
    Mistake(
        "nested unknown property",
        lambda t: _first_rule(t).update(Cidr="10.0.0.0/8"),
        "ingress.json",
        "EdgeGroup.Properties.SecurityGroupIngress[0].Cidr",
    ),
    Mistake(
        "unused parameter",
        lambda t: t["trail.json"]["Parameters"].update(Spare={"Type": "String"}),
        "trail.json",
        "Parameters.Spare",
    ),
    Mistake("unknown section", lambda t: t["trail.json"].update(Resource={}), "trail.json", "Resource"),
    Mistake(
        "output of nothing",
        lambda t: t["trail.json"]["Outputs"].update(X={"Value": {"Ref": "Nobody"}}),
        "trail.json",
        "Outputs.X.Value",
    ),
)

# What we promise otherwise.
PROMISES = (
    Mistake(
        "13-day backups",
        put("database", "Database", BackupRetentionPeriod=13),
        "database.json",
        "Database.Properties.BackupRetentionPeriod",
    ),
    Mistake(
        "public database",
        put("database", "Database", AllocatePublicConnection=True),
        "database.json",
        "Database.Properties.AllocatePublicConnection",
    ),
    Mistake(
        "database for everybody",
        put("database", "Database", SecurityIPList="0.0.0.0/0"),
        "database.json",
        "Database.Properties.SecurityIPList",
    ),
    Mistake(
        "database for functions",
        lambda t: _admit(t, "10.64.16.0/24"),
        "database.json",
        "Database.Properties.SecurityIPList",
    ),
    Mistake(
        "database in the clear",
        drop("database", "Database", "EncryptionKey"),
        "database.json",
        "Database.Properties.EncryptionKey",
    ),
    Mistake(
        "database without standby",
        put("database", "Database", MultiAZ=False),
        "database.json",
        "Database.Properties.MultiAZ",
    ),
    Mistake(
        "database thrown away",
        lambda t: resource(t, "database", "Database").pop("DeletionPolicy"),
        "database.json",
        "Database.DeletionPolicy",
    ),
    Mistake(
        "value of a secret",
        put("secrets", "KeysMintSecret", SecretData="hunter" + "2"),
        "secrets.json",
        "KeysMintSecret.Properties.SecretData",
    ),
    Mistake(
        "value of a key",
        put("functions", "SiteFunction", Description="LTAI" + "5tAbcdefghijkLMN"),
        "functions.json",
        "SiteFunction.Properties.Description",
    ),
    Mistake(
        "default for a secret",
        lambda t: t["database.json"]["Parameters"]["DatabaseOwnerPassword"].update(Default="x"),
        "database.json",
        "DatabaseOwnerPassword.Default",
    ),
    Mistake(
        "secret in an output",
        lambda t: t["edge.json"]["Outputs"].update(X={"Value": {"Ref": "EdgeToken"}}),
        "edge.json",
        "Outputs.X",
    ),
    Mistake(
        "world at the load balancer",
        lambda t: _first_rule(t).update(SourceCidrIp="0.0.0.0/0"),
        "ingress.json",
        "EdgeGroup.Properties.SecurityGroupIngress[0].SourceCidrIp",
    ),
    Mistake(
        "load balancer without group",
        drop("ingress", "LoadBalancer", "SecurityGroupIds"),
        "ingress.json",
        "LoadBalancer.Properties.SecurityGroupIds",
    ),
    Mistake(
        "public cluster",
        put("cluster", "Cluster", EndpointPublicAccess=True),
        "cluster.json",
        "Cluster.Properties.EndpointPublicAccess",
    ),
    Mistake(
        "policies ignored",
        put("cluster", "Cluster", Addons=[{"Name": "terway-eniip", "Config": "{}"}]),
        "cluster.json",
        "Cluster.Properties.Addons",
    ),
    Mistake(
        "disk in the clear",
        lambda t: properties(t, "cluster", "GatewayPool")["ScalingGroup"].update(SystemDiskEncrypted=False),
        "cluster.json",
        "GatewayPool.Properties.ScalingGroup.SystemDiskEncrypted",
    ),
    Mistake(
        "wide role",
        lambda t: _statement(t, "secrets", "PurgeRole").update(Action=["kms:*"]),
        "secrets.json",
        "PurgeRole.Properties.Policies",
    ),
    Mistake(
        "role over everything",
        lambda t: _statement(t, "secrets", "PurgeRole").update(Resource=["*"]),
        "secrets.json",
        "PurgeRole.Properties.Policies",
    ),
    Mistake(
        "other secrets",
        lambda t: _statement(t, "cluster", "ProviderDeepseekRole").update(Resource=["acs:kms:cn-hangzhou:1:secret/*"]),
        "cluster.json",
        "ProviderDeepseekRole.Properties.Policies",
    ),
    Mistake(
        "any service account",
        lambda t: properties(t, "cluster", "GatewayRole")["AssumeRolePolicyDocument"]["Statement"][0]["Condition"][
            "StringEquals"
        ].pop("oidc:sub"),
        "cluster.json",
        "GatewayRole.Properties.AssumeRolePolicyDocument",
    ),
    Mistake(
        "function with an address",
        put("jobs", "PurgeSchedule", TriggerType="http"),
        "jobs.json",
        "PurgeSchedule.Properties.TriggerType",
    ),
    Mistake(
        "function with internet",
        put("functions", "AdminFunction", InternetAccess=True),
        "functions.json",
        "AdminFunction.Properties.InternetAccess",
    ),
    Mistake(
        "floating image",
        lambda t: properties(t, "functions", "AdminFunction")["CustomContainerConfig"].update(Image="x:latest"),
        "functions.json",
        "AdminFunction.Properties.CustomContainerConfig.Image",
    ),
    Mistake("edge log for 8 days", put("edge", "LogStore", TTL=8), "edge.json", "LogStore.Properties.TTL"),
    Mistake(
        "edge log with addresses of pages",
        put("edge", "LogDelivery", FieldName="ClientIP,ClientRequestURI"),
        "edge.json",
        "LogDelivery.Properties.FieldName",
    ),
    Mistake("old TLS", put("edge", "Tls", Tls10="on"), "edge.json", "Tls.Properties.Tls10"),
    Mistake(
        "cached answers", put("edge", "NoCache", BypassCache="cache_all"), "edge.json", "NoCache.Properties.BypassCache"
    ),
    Mistake(
        "unverified origin", put("edge", "Origin", OriginVerify="off"), "edge.json", "Origin.Properties.OriginVerify"
    ),
    Mistake("abroad", put("edge", "Site", Coverage="global"), "edge.json", "Site.Properties.Coverage"),
    Mistake(
        "key without rotation",
        put("secrets", "EnvironmentKey", EnableAutomaticRotation=False),
        "secrets.json",
        "EnvironmentKey.Properties.EnableAutomaticRotation",
    ),
    Mistake(
        "secret gone at once",
        put("secrets", "KeysMintSecret", ForceDeleteWithoutRecovery=True),
        "secrets.json",
        "KeysMintSecret.Properties.ForceDeleteWithoutRecovery",
    ),
    Mistake(
        "the other cloud",
        put("functions", "SiteFunction", Description="see x.amazonaws.com"),
        "functions.json",
        "SiteFunction.Properties.Description",
    ),
    Mistake(
        "another region", put("network", "Vpc", Description="cn-beijing"), "network.json", "Vpc.Properties.Description"
    ),
    Mistake(
        "moving tags",
        put("registry", "Repository", TagImmutability=False),
        "registry.json",
        "Repository.Properties.TagImmutability",
    ),
)


def test_the_templates_have_no_mistake(templates: Templates, settings: Settings) -> None:
    assert findings(templates, settings) == []


@pytest.mark.parametrize("mistake", [*STRUCTURAL, *PROMISES], ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_a_mistake_is_caught_with_its_file_and_property(
    mistake: Mistake, templates: Templates, settings: Settings
) -> None:
    mistake.seed(templates)
    found = findings(templates, settings)
    assert any(one.template == mistake.template and mistake.path in one.path for one in found), "\n".join(
        map(str, found)
    )
    assert all(one.message for one in found)


@pytest.mark.parametrize("mistake", STRUCTURAL, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_a_structural_mistake_is_the_checkers_business(mistake: Mistake, templates: Templates) -> None:
    mistake.seed(templates)
    assert any(mistake.path in one.path for name, body in templates.items() for one in check(name, body))


def test_a_finding_reads_as_a_line() -> None:
    assert str(Finding("database.json", "Resources.X", "is wrong")) == "database.json: Resources.X: is wrong"


def test_a_wrong_format_version_is_found() -> None:
    assert [one.path for one in check("x.json", {"Resources": {}})] == ["ROSTemplateFormatVersion"]


def test_references_are_found_at_any_depth() -> None:
    nested = {"a": [{"b": {"Fn::Sub": ["${X}", {"X": {"Ref": "Y"}}]}}]}
    assert [function for function, _ in references(nested)] == ["Fn::Sub", "Ref"]


def test_the_schema_holds_the_types_in_use_and_no_others(templates: Templates) -> None:
    used = {body["Type"] for template in templates.values() for body in template["Resources"].values()}
    assert used == set(load().types)
