"""The cluster, its nodes, the manifests that were applied, and what is logged for how long."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.operations.evidence.account import EDGE_REGION, REGION, Account, Row, differs
from stacks.manifests.network import default_deny
from stacks.policy import Policy

CONTROL_PLANE_LOGS = {"api", "audit", "authenticator"}


def _cluster(account: Account, _policy: Policy) -> list[str]:
    name = account.one("Cluster", "AWS::EKS::Cluster")
    cluster = account.client("eks").describe_cluster(name=name)["cluster"]
    network = cluster["resourcesVpcConfig"]
    found = differs("public endpoint", network.get("endpointPublicAccess"), promised=False)
    kinds = {kind for row in cluster["logging"]["clusterLogging"] if row["enabled"] for kind in row["types"]}
    found += differs("control plane logs", sorted(kinds), sorted(CONTROL_PLANE_LOGS))
    sealed = [kind for row in cluster.get("encryptionConfig", []) for kind in row["resources"]]
    return found + differs("encrypted", sealed, ["secrets"])


def _nodes(account: Account, _policy: Policy) -> list[str]:
    """Nodes give their metadata to the host alone, and their disks are encrypted."""
    found = []
    for template in account.ids("Cluster", "AWS::EC2::LaunchTemplate"):
        versions = account.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template, Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        data = versions[0]["LaunchTemplateData"]
        options = data.get("MetadataOptions", {})
        found += differs(f"{template} tokens", options.get("HttpTokens"), "required")
        found += differs(f"{template} hops", options.get("HttpPutResponseHopLimit"), 1)
        disks = [disk["Ebs"].get("Encrypted") for disk in data.get("BlockDeviceMappings", [])]
        found += differs(f"{template} disks", disks, [True])
    return found


def _applied(account: Account) -> list[dict[str, Any]]:
    """The Kubernetes objects as they were applied; values known only to AWS read as `?`."""
    rows = account.template("Workloads")["Resources"].values()
    manifests = [row["Properties"]["Manifest"] for row in rows if row["Type"].endswith("KubernetesResource")]
    return [item for text in manifests for item in msgspec.json.decode(_flat(text), type=list[dict[str, Any]])]


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    parts = value.get("Fn::Join", ["", []])[1]
    return "".join(part if isinstance(part, str) else "?" for part in parts)


def _isolation(account: Account, _policy: Policy) -> list[str]:
    """Everything is denied first, and a provider's pod may reach the relay and its identity's agent alone."""
    policies = {row["metadata"]["name"]: row for row in _applied(account) if row["kind"] == "NetworkPolicy"}
    denied = policies.get("default-deny", {}).get("spec") == default_deny()["spec"]
    found = [] if denied else ["nothing is denied by default"]
    deployments = {row["metadata"]["name"] for row in _applied(account) if row["kind"] == "Deployment"}
    found += [f"{name} has no policy" for name in sorted(deployments - set(policies))]
    for name in sorted(name for name in policies if name.startswith("provider-")):
        for rule in policies[name]["spec"]["egress"]:
            found += [
                f"{name} reaches {_name(peer)}" for peer in rule["to"] if _name(peer) not in {"relay", "identity"}
            ]
        callers = [_name(peer) for rule in policies[name]["spec"]["ingress"] for peer in rule["from"]]
        found += differs(f"callers of {name}", callers, ["gateway"])
    return found


def _name(peer: dict[str, Any]) -> str:
    if "podSelector" in peer:
        return str(peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", "any pod"))
    return "identity" if peer["ipBlock"]["cidr"] == "169.254.170.23/32" else str(peer["ipBlock"]["cidr"])


def _identities(account: Account, _policy: Policy) -> list[str]:
    """Each provider has pods and an account of its own."""
    pods = {
        row["metadata"]["name"]: row["spec"]["template"]["spec"]
        for row in _applied(account)
        if row["kind"] == "Deployment"
    }
    providers = [name for name in pods if name.startswith("provider-")]
    found = [] if providers else ["no provider has a pod"]
    found += [f"{n} runs as {pods[n]['serviceAccountName']}" for n in providers if pods[n]["serviceAccountName"] != n]
    return found + [f"{n} mounts a token" for n in providers if pods[n]["automountServiceAccountToken"]]


def _logs(account: Account, policy: Policy) -> list[str]:
    """Every log group of ours forgets after its days."""
    promised = {
        f"/therouter/{account.stage}/": policy.function_log_retention_days,
        f"/aws/eks/therouter-{account.stage}/": policy.cluster_log_retention_days,
    }
    found = []
    for region in (REGION, EDGE_REGION):
        for group in account.pages("logs", "describe_log_groups", "logGroups", region):
            days = group.get("retentionInDays")
            for prefix, wanted in promised.items():
                if group["logGroupName"].startswith(prefix):
                    found += differs(group["logGroupName"], days, wanted)
    names = account.ids("Network", "AWS::Logs::LogGroup")
    for name in names:
        (group,) = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        found += differs(name, group.get("retentionInDays"), policy.flow_log_retention_days)
    return found


ROWS = (
    Row("C23", "Nothing talks to anything that no policy names; providers reach their own host alone.", _isolation),
    Row("C34", "Each provider runs in pods of its own, under its own identity.", _identities),
    Row("C38", "Pods cannot read their node's identity.", _nodes),
    Row("C48", "The cluster is private, encrypted and audited.", _cluster),
    Row("C32", "Logs are closed lines, gone after their days.", _logs),
)
