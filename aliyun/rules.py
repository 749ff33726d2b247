"""The second half of the checker: is this template what we promise? `check.py` asks whether ROS would take it.

Each rule is a function over one resource of a type, or over a whole template, that yields the property at fault and why. A rule
asserts what the trust page says or what security demands; numbers come from the policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from aliyun.check import Finding, Problem, is_function, references
from aliyun.network import PURPOSES, cidr
from aliyun.settings import REGION, Settings
from stacks.policy import Policy

Rule = Callable[[dict[str, Any], Policy], Iterator[Problem]]
(GATEWAY,) = (purpose for purpose in PURPOSES if purpose.name == "gateway")
EVERYBODY = frozenset({"0.0.0.0/0", "::/0", "0.0.0.0"})
FOREIGN = re.compile(
    r"amazonaws|cloudfront|\baws\b|arn:aws|\b(us|eu|ap|ca|sa|me|af)-(north|south|east|west|central|northeast|southeast)\w*-\d",
    re.IGNORECASE,
)
"""Names of the other cloud and of its regions."""
OTHER_REGION = re.compile(
    r"(?<![\w.])(cn|ap|us|eu|me)-(?!hangzhou)(beijing|shanghai|shenzhen|zhangjiakou|hongkong|qingdao|chengdu|singapore|tokyo)"
)
SECRET_PROPERTY = re.compile(r"(password|secretdata|privatekey|secretkey|accesskeysecret|token)$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"\bLTAI[0-9A-Za-z]{12,}|\bAKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|\bsk-[0-9A-Za-z_-]{20,}"
)


def judge(name: str, template: dict[str, Any], settings: Settings) -> list[Finding]:
    """Every broken promise in one template."""
    findings = [Finding(name, problem.path, problem.message) for problem in _template(template)]
    for logical_id, resource in template.get("Resources", {}).items():
        rule = RULES.get(resource.get("Type", ""))
        for problem in rule(resource, settings.policy) if rule else ():
            path = (
                f"Resources.{logical_id}.{problem.path}"
                if problem.path.startswith("Deletion")
                else f"Resources.{logical_id}.Properties.{problem.path}"
            )
            findings.append(Finding(name, path, problem.message))
    return findings


def _template(template: dict[str, Any]) -> Iterator[Problem]:
    hidden = {name for name, body in template.get("Parameters", {}).items() if body.get("NoEcho")}
    for name in hidden:
        if "Default" in template["Parameters"][name]:
            yield Problem(f"Parameters.{name}.Default", "a value that nobody may read must not stand in the template")
    for key, output in template.get("Outputs", {}).items():
        if any(function == "Ref" and argument in hidden for function, argument in references(output)):
            yield Problem(f"Outputs.{key}", "would show a value that nobody may read")
    for path, text in _texts("Resources", template.get("Resources", {})):
        if found := FOREIGN.search(text):
            yield Problem(path, f"names the other cloud ({found[0]}); the regions share nothing")
        if found := OTHER_REGION.search(text):
            yield Problem(path, f"names the region {found[0]}; everything here is in {REGION}")
        if SECRET_VALUE.search(text):
            yield Problem(path, "looks like the value of a secret; pass it as a NoEcho parameter")
    yield from _secrets("Resources", template.get("Resources", {}), hidden)


def _texts(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(f"{path}[{index}]", inner)


def _secrets(path: str, value: object, hidden: set[str]) -> Iterator[Problem]:
    """What is named like a secret must be a NoEcho parameter."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if SECRET_PROPERTY.search(str(key)) and isinstance(inner, str | dict) and not _is_hidden(inner, hidden):
                yield Problem(f"{path}.{key}", "holds the value of a secret; pass it as a NoEcho parameter")
            yield from _secrets(f"{path}.{key}", inner, hidden)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secrets(f"{path}[{index}]", inner, hidden)


def _is_hidden(value: object, hidden: set[str]) -> bool:
    return isinstance(value, dict) and (value.get("Ref") in hidden if "Ref" in value else not is_function(value))


def _demand(properties: dict[str, Any], **wanted: object) -> Iterator[Problem]:
    for name, value in wanted.items():
        if properties.get(name) != value:
            yield Problem(name, f"is {properties.get(name)!r} and must be {value!r}")


def _retained(resource: dict[str, Any]) -> Iterator[Problem]:
    if resource.get("DeletionPolicy") != "Retain":
        yield Problem("DeletionPolicy", "holds data and must be Retain")


def _database(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    yield from _retained(resource)
    yield from _demand(
        properties,
        AllocatePublicConnection=False,
        DBInstanceNetType="Intranet",
        SSLSetting="EnabledForInnerConnection",
        MultiAZ=policy.database_standby,
        Category="HighAvailability" if policy.database_standby else "Basic",
        BackupRetentionPeriod=policy.backup_retention_days,
        LogBackupRetentionPeriod=policy.backup_retention_days,
        EnableBackupLog=True,
        DeletionProtection=policy.database_deletion_protected,
    )
    if not properties.get("EncryptionKey"):
        yield Problem("EncryptionKey", "is missing: the database and its backups must be encrypted")
    pool = {cidr(GATEWAY, zone) for zone in range(policy.availability_zones)}
    for network in set(str(properties.get("SecurityIPList", "")).split(",")) ^ pool:
        yield Problem(
            "SecurityIPList",
            f"{network or 'everybody'}: the gateway's networks, all of them and no other, are admitted",
        )
    if policy.database_standby and properties.get("ZoneId") in properties.get("SlaveZoneIds", []):
        yield Problem("SlaveZoneIds", "the standby must be in another zone")


def _security_group(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    for index, rule in enumerate(resource["Properties"].get("SecurityGroupIngress", ())):
        if rule.get("Policy") != "drop" and rule.get("SourceCidrIp") in EVERYBODY:
            yield Problem(f"SecurityGroupIngress[{index}].SourceCidrIp", "admits everybody")


def _balancer(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    yield from _demand(properties, DeletionProtectionEnabled=True)
    if not properties.get("SecurityGroupIds"):
        yield Problem("SecurityGroupIds", "is missing: without a group everybody may reach the load balancer")


def _cluster(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    yield from _retained(resource)
    yield from _demand(
        properties,
        EndpointPublicAccess=False,
        RrsaConfig={"Enabled": True},
        DeletionProtection=True,
        ControlPlaneLogTtl=policy.cluster_log_retention_days,
    )
    if not properties.get("EncryptionProviderKey"):
        yield Problem("EncryptionProviderKey", "is missing: what the cluster stores must be encrypted")
    terway = [addon for addon in properties.get("Addons", ()) if addon["Name"].startswith("terway")]
    if not any('"NetworkPolicy":"true"' in addon.get("Config", "") for addon in terway):
        yield Problem("Addons", "Terway's NetworkPolicy is not on: policies would be accepted and ignored")


def _pool(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    group = properties.get("ScalingGroup", {})
    if group.get("SystemDiskEncrypted") is not True:
        yield Problem(
            "ScalingGroup.SystemDiskEncrypted",
            "must be true: usage lines lie on the node's disk until they are settled",
        )
    if group.get("InternetMaxBandwidthOut", 0) != 0:
        yield Problem("ScalingGroup.InternetMaxBandwidthOut", "must be 0: nodes have no address in the internet")
    if properties.get("Management", {}).get("AutoRepair") is not True:
        yield Problem("Management.AutoRepair", "must be true: nodes recover by themselves")


def _key(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    yield from _retained(resource)
    yield from _demand(
        resource["Properties"],
        EnableAutomaticRotation=True,
        RotationInterval=f"{policy.key_rotation_days}d",
        PendingWindowInDays=policy.key_deletion_wait_days,
        DeletionProtection=True,
    )


def _secret(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    yield from _retained(resource)
    yield from _demand(properties, ForceDeleteWithoutRecovery=False)
    if not properties.get("EncryptionKeyId"):
        yield Problem("EncryptionKeyId", "is missing: each owner's secrets have that owner's key")


UNNARROWED = {"dm:SingleSendMail"}
"""Actions whose service knows no resource: https://www.alibabacloud.com/help/en/direct-mail/api-dm-2015-11-23-ram."""


def _role(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    for index, policy in enumerate(properties.get("Policies", ())):
        for number, statement in enumerate(policy["PolicyDocument"]["Statement"]):
            path = f"Policies[{index}].PolicyDocument.Statement[{number}]"
            wide = [action for action in statement["Action"] if "*" in action]
            if wide:
                yield Problem(f"{path}.Action", f"allows {', '.join(wide)}; name each action")
            if "*" in statement["Resource"] and not set(statement["Action"]) <= UNNARROWED:
                yield Problem(f"{path}.Resource", "allows everything; name the resources")
            if "kms:GetSecretValue" in statement["Action"] and any("*" in str(arn) for arn in statement["Resource"]):
                yield Problem(f"{path}.Resource", "lets a role read secrets that are not in its row")
    for number, statement in enumerate(properties["AssumeRolePolicyDocument"]["Statement"]):
        if "Federated" in statement["Principal"] and "oidc:sub" not in statement.get("Condition", {}).get(
            "StringEquals", {}
        ):
            yield Problem(
                f"AssumeRolePolicyDocument.Statement[{number}].Condition", "must name one service account (oidc:sub)"
            )


def _function(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    yield from _demand(properties, InternetAccess=False)
    for name in ("Role", "LogConfig", "VpcConfig"):
        if not properties.get(name):
            yield Problem(name, "is missing")
    image = properties.get("CustomContainerConfig", {}).get("Image", "")
    if "@sha256:" not in image:
        yield Problem("CustomContainerConfig.Image", "must be pinned by its digest")


def _trigger(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    if resource["Properties"].get("TriggerType") == "http":
        yield Problem("TriggerType", "gives a function an address of its own, around the edge and its firewall")


def _logstore(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    properties = resource["Properties"]
    promised = {
        "edge-access": policy.edge_log_retention_days,
        "functions": policy.function_log_retention_days,
        "refused-connections": policy.flow_log_retention_days,
    }.get(properties["LogstoreName"], policy.cluster_log_retention_days)
    yield from _demand(properties, TTL=promised)


def _delivery(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    fields = set(str(resource["Properties"].get("FieldName", "")).split(","))
    surplus = fields - {"EdgeStartTimestamp", "ClientIP", "EdgeResponseStatusCode"}
    if surplus or len(fields) > len(policy.edge_log_fields):
        yield Problem("FieldName", f"delivers {', '.join(sorted(surplus))}; only time, address and status are promised")


def _tls(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    yield from _demand(
        resource["Properties"],
        Https="on",
        Tls10="off",
        Tls11="off",
        Tls12="on" if policy.tls_version_min == "1.2" else "off",
    )


def _site(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    yield from _retained(resource)
    yield from _demand(resource["Properties"], Coverage="domestic")


def _cache(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    yield from _demand(resource["Properties"], BypassCache="bypass_all")


def _origin(resource: dict[str, Any], policy: Policy) -> Iterator[Problem]:
    yield from _demand(
        resource["Properties"], OriginScheme="https", OriginVerify="on", OriginReadTimeout=policy.edge_response_gap_s
    )


def _repository(resource: dict[str, Any], _policy: Policy) -> Iterator[Problem]:
    yield from _demand(resource["Properties"], RepoType="PRIVATE", TagImmutability=True)


RULES: dict[str, Rule] = {
    "ALIYUN::ALB::LoadBalancer": _balancer,
    "ALIYUN::CR::Repository": _repository,
    "ALIYUN::CS::ClusterNodePool": _pool,
    "ALIYUN::CS::ManagedKubernetesCluster": _cluster,
    "ALIYUN::ECS::SecurityGroup": _security_group,
    "ALIYUN::ESA::CacheRule": _cache,
    "ALIYUN::ESA::HttpsBasicConfiguration": _tls,
    "ALIYUN::ESA::OriginRule": _origin,
    "ALIYUN::ESA::Site": _site,
    "ALIYUN::ESA::SiteDeliveryTask": _delivery,
    "ALIYUN::FC3::Function": _function,
    "ALIYUN::FC3::Trigger": _trigger,
    "ALIYUN::KMS::Key": _key,
    "ALIYUN::KMS::Secret": _secret,
    "ALIYUN::RAM::Role": _role,
    "ALIYUN::RDS::DBInstance": _database,
    "ALIYUN::SLS::Logstore": _logstore,
}
