"""The cluster, the manifests that were applied, and what is logged for how long."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.operations.hangzhou.evidence.account import Account, Fields, Row, differs
from handlers.operations.hangzhou.logs import retention_days
from stacks.manifests.network import default_deny
from stacks.policy import Policy


def _cluster(account: Account, _policy: Policy) -> list[str]:
    cluster = account.get(
        "cs", "DescribeClusterDetail", f"/clusters/{account.one('cluster', 'CS::ManagedKubernetesCluster')}"
    )
    addresses = msgspec.json.decode(cluster.get("master_url") or "{}", type=Fields)
    public = addresses.get("api_server_endpoint") or ""
    found = [f"the API server answers at {public}"] if public else []
    found += differs("deletion protection", cluster.get("deletion_protection"), promised=True)
    key = cluster.get("parameters", {}).get("EncryptionProviderKey", "")
    return found + ([] if key else ["what the cluster stores has no key"])


def _applied(account: Account) -> list[Fields]:
    """The Kubernetes objects as they were applied; what the cloud filled in stays as its name."""
    rows = account.template("workloads")["Resources"].values()
    texts = [row["Properties"]["YamlContent"] for row in rows if row["Type"] == "ALIYUN::CS::ClusterApplication"]
    plain = [text["Fn::Sub"][0] if isinstance(text, dict) else text for text in texts]
    return [msgspec.json.decode(part, type=Fields) for text in plain for part in text.split("\n---\n")]


def _isolation(account: Account, _policy: Policy) -> list[str]:
    """Everything is denied first, and a provider's pod may reach the relay alone."""
    policies = {row["metadata"]["name"]: row for row in _applied(account) if row["kind"] == "NetworkPolicy"}
    denied = policies.get("default-deny", {}).get("spec") == default_deny()["spec"]
    found = [] if denied else ["nothing is denied by default"]
    deployments = {row["metadata"]["name"] for row in _applied(account) if row["kind"] == "Deployment"}
    found += [f"{name} has no policy" for name in sorted(deployments - set(policies))]
    for name in sorted(name for name in policies if name.startswith("provider-")):
        spec = policies[name]["spec"]
        reached = [_name(peer) for rule in spec["egress"] for peer in rule["to"]]
        found += [f"{name} reaches {peer}" for peer in reached if peer != "relay"]
        found += differs(
            f"callers of {name}", [_name(peer) for rule in spec["ingress"] for peer in rule["from"]], ["gateway"]
        )
    return found


def _name(peer: dict[str, Any]) -> str:
    if "podSelector" in peer:
        return str(peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", "any pod"))
    return str(peer["ipBlock"]["cidr"])


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
    project = account.one("network", "SLS::Project")
    promised = {
        "functions": policy.function_log_retention_days,
        "refused-connections": policy.flow_log_retention_days,
        f"actiontrail_therouter-{account.stage}-trail": policy.cluster_log_retention_days,
    }
    return [line for name, days in promised.items() for line in differs(name, retention_days(project, name), days)]


ROWS = (
    Row("C23", "Nothing talks to anything that no policy names; providers reach their own host alone.", _isolation),
    Row("C34", "Each provider runs in pods of its own, under its own identity.", _identities),
    Row("C48", "The cluster is private and encrypted.", _cluster),
    Row("C32", "Logs are closed lines, gone after their days.", _logs),
)
