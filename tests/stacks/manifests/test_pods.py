from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import kubernetes_validate
import pytest

from handlers.workloads import Kind, workloads
from stacks.manifests import Document, documents
from stacks.manifests.cluster import NAME_LABEL, POOL_LABEL
from stacks.policy import PRODUCTION
from tests.stacks.manifests.cluster_fixture import built, cluster, of_kind, rows

KUBERNETES = "1.36"


def pod_of(deployment: Document) -> Document:
    pod: Document = deployment["spec"]["template"]
    return pod


# What kubernetes-validate does not see: a list of complaints, empty when the objects fit together.

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"\d+(m|Ki|Mi|Gi)?")


def complaints(objects: list[Document]) -> list[str]:
    return [
        *name_complaints(objects),
        *selector_complaints(objects),
        *pod_complaints(objects),
        *sharing_complaints(objects),
    ]


def name_complaints(objects: list[Document]) -> Iterator[str]:
    seen = set()
    for item in objects:
        name = item["metadata"]["name"]
        if not NAME.fullmatch(name):
            yield f"name {name}"
        if (item["kind"], name) in seen:
            yield f"twice {name}"
        seen.add((item["kind"], name))
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != "therouter":
            yield f"namespace of {name}"


def selector_of(item: Document) -> dict[str, str] | None:
    spec: Any = item.get("spec", {})
    if item["metadata"]["name"] == "default-deny":
        return None
    match item["kind"]:
        case "Deployment" | "PodDisruptionBudget":
            wanted = spec["selector"]["matchLabels"]
        case "Service":
            wanted = spec["selector"]
        case "NetworkPolicy":
            wanted = spec["podSelector"].get("matchLabels", {})
        case _:
            return None
    return dict(wanted)


def selector_complaints(objects: list[Document]) -> Iterator[str]:
    templates = [pod_of(item)["metadata"]["labels"] for item in of_kind(objects, "Deployment")]
    for item in objects:
        wanted = selector_of(item)
        if wanted is None:
            continue
        chosen = [labels for labels in templates if wanted.items() <= labels.items()]
        if len(chosen) != 1:
            yield f"selector of {item['kind']} {item['metadata']['name']} chooses {len(chosen)} deployments"
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        if item["spec"]["scaleTargetRef"]["name"] not in {
            d["metadata"]["name"] for d in of_kind(objects, "Deployment")
        }:
            yield f"autoscaler target of {item['metadata']['name']}"


def pod_complaints(objects: list[Document]) -> Iterator[str]:
    budgets = {item["metadata"]["name"] for item in of_kind(objects, "PodDisruptionBudget")}
    scalers = {item["metadata"]["name"] for item in of_kind(objects, "HorizontalPodAutoscaler")}
    policies = {item["metadata"]["name"] for item in of_kind(objects, "NetworkPolicy")}
    accounts = {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}
    for item in of_kind(objects, "Deployment"):
        name, pod = item["metadata"]["name"], pod_of(item)["spec"]
        if not {name} <= budgets & scalers & policies & accounts:
            yield f"{name} lacks a budget, a scaler, a policy or an account"
        if "replicas" in item["spec"]:
            yield f"{name} has replicas, which are the autoscaler's"
        yield from restricted_complaints(name, pod)
        for container in pod["containers"]:
            yield from container_complaints(name, container)


def restricted_complaints(name: str, pod: Document) -> Iterator[str]:
    context = pod["securityContext"]
    if not context["runAsNonRoot"] or context["runAsUser"] == 0:
        yield f"{name} runs as root"
    if context["seccompProfile"]["type"] != "RuntimeDefault":
        yield f"{name} has no seccomp profile"
    if any(pod[field] for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")):
        yield f"{name} shares a namespace of the host"
    if pod["automountServiceAccountToken"] or pod["enableServiceLinks"]:
        yield f"{name} mounts a token or service links"
    if any(set(volume) - {"name", "emptyDir"} for volume in pod["volumes"]):
        yield f"{name} has a volume that outlives it or is shared"


def container_complaints(name: str, container: Document) -> Iterator[str]:
    context = container["securityContext"]
    if context["allowPrivilegeEscalation"] or context["privileged"] or context["capabilities"] != {"drop": ["ALL"]}:
        yield f"{name} keeps a privilege"
    if not context["readOnlyRootFilesystem"]:
        yield f"{name} writes to its root"
    if not re.fullmatch(r".+@sha256:[0-9a-f]{64}", container["image"]):
        yield f"{name} has an image without digest"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if any(len(port) > 15 for port in ports) or not all(0 < number < 65_536 for number in ports.values()):
        yield f"{name} has a bad port"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        action = container[probe].get("tcpSocket") or container[probe]["httpGet"]
        if action["port"] not in ports:
            yield f"{name} probes a port that it does not have"
    quantities = [*container["resources"]["requests"].values(), *container["resources"]["limits"].values()]
    if (
        not all(QUANTITY.fullmatch(quantity) for quantity in quantities)
        or "memory" not in container["resources"]["limits"]
    ):
        yield f"{name} has a bad quantity or no memory limit"


def sharing_complaints(objects: list[Document]) -> Iterator[str]:
    for one, other in combinations(of_kind(objects, "Deployment"), 2):
        names = one["metadata"]["name"], other["metadata"]["name"]
        if pod_of(one)["spec"]["serviceAccountName"] == pod_of(other)["spec"]["serviceAccountName"]:
            yield f"{names} share an account"
    for account in of_kind(objects, "ServiceAccount"):
        if account["automountServiceAccountToken"]:
            yield f"{account['metadata']['name']} mounts its token"


@pytest.mark.parametrize("region", ["global", "china"])
def test_every_object_is_strictly_valid(region: str) -> None:
    for item in built(region):
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


@pytest.mark.claim("C22", "C31", "C35", "C37")
@pytest.mark.parametrize("region", ["global", "china"])
def test_the_objects_fit_together(region: str) -> None:
    assert complaints(built(region)) == []


Path = tuple[str | int, ...]
DAMAGE: dict[str, tuple[str, Path, Any]] = {
    "selector": ("Deployment", ("spec", "selector", "matchLabels", NAME_LABEL), "other"),
    "name": ("Service", ("metadata", "name"), "Bad_Name"),
    "namespace": ("Service", ("metadata", "namespace"), "default"),
    "replicas": ("Deployment", ("spec", "replicas"), 3),
    "target": ("HorizontalPodAutoscaler", ("spec", "scaleTargetRef", "name"), "other"),
    "root": ("Deployment", ("spec", "template", "spec", "securityContext", "runAsNonRoot"), False),
    "seccomp": ("Deployment", ("spec", "template", "spec", "securityContext", "seccompProfile", "type"), "Unconfined"),
    "host": ("Deployment", ("spec", "template", "spec", "hostPID"), True),
    "token": ("Deployment", ("spec", "template", "spec", "automountServiceAccountToken"), True),
    "volume": ("Deployment", ("spec", "template", "spec", "volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}),
    "account": ("Deployment", ("spec", "template", "spec", "serviceAccountName"), "provider-alpha"),
    "image": ("Deployment", ("spec", "template", "spec", "containers", 0, "image"), "therouter:latest"),
    "port": ("Deployment", ("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), 99_999_999),
    "privilege": ("Deployment", ("spec", "template", "spec", "containers", 0, "securityContext", "privileged"), True),
    "write": (
        "Deployment",
        ("spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRootFilesystem"),
        False,
    ),
    "probe": (
        "Deployment",
        ("spec", "template", "spec", "containers", 0, "livenessProbe", "tcpSocket", "port"),
        "none",
    ),
    "quantity": ("Deployment", ("spec", "template", "spec", "containers", 0, "resources", "limits", "memory"), "12Qx"),
    "budget": ("PodDisruptionBudget", ("metadata", "name"), "other"),
    "mounted": ("ServiceAccount", ("automountServiceAccountToken",), True),
}


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_each_kind_of_damage_is_seen(damage: str) -> None:
    kind, path, value = DAMAGE[damage]
    objects = copy.deepcopy(built())
    target: Any = of_kind(objects, kind)[0]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert complaints(objects)


def policies(region: str = "global") -> dict[str, Document]:
    return {item["metadata"]["name"]: item["spec"] for item in of_kind(built(region), "NetworkPolicy")}


@pytest.mark.claim("C23", "C38")
def test_everything_is_denied_in_both_directions_first() -> None:
    assert policies()["default-deny"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }


@pytest.mark.claim("C23", "C31", "C36")
def test_a_provider_pod_is_called_by_the_gateway_and_reaches_the_relay_alone() -> None:
    policy = policies()["provider-alpha"]
    assert policy["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {NAME_LABEL: "gateway"}}}],
            "ports": [{"protocol": "TCP", "port": 8080}],
        }
    ]
    peers = [peer for rule in policy["egress"] for peer in rule["to"]]
    assert peers == [
        {"podSelector": {"matchLabels": {NAME_LABEL: "relay"}}},
        {"ipBlock": {"cidr": "169.254.170.23/32"}},
    ]
    assert "5432" not in str(policy)


@pytest.mark.claim("C23", "C35")
def test_no_two_providers_reach_the_same_host_but_for_the_secret_store() -> None:
    ports = {
        name: {port["port"] for rule in spec["egress"] for port in rule["ports"]}
        for name, spec in policies().items()
        if name.startswith("provider-")
    }
    shared = ports["provider-alpha"] & ports["provider-beta"]
    assert shared == ports["provider-beta"] & ports["provider-gamma"] == {80, max(shared)}
    assert all(len(own - shared) == 1 for own in ports.values())


@pytest.mark.claim("C57")
def test_only_the_gateway_and_the_door_may_reach_the_database_and_both_are_in_its_pool() -> None:
    reaching = {
        name
        for name, spec in policies().items()
        if any(5432 in [p["port"] for p in r["ports"]] for r in spec["egress"])
    }
    assert reaching == {"gateway", "database-door"}
    pools = {
        d["metadata"]["name"]: d["spec"]["template"]["spec"]["nodeSelector"] for d in of_kind(built(), "Deployment")
    }
    assert {pools[name][POOL_LABEL] for name in reaching} == {"gateway"}
    assert {name for name, pool in pools.items() if pool[POOL_LABEL] == "gateway"} == reaching


@pytest.mark.claim("C57")
def test_the_door_is_called_by_load_balancers_alone_and_calls_the_databases_networks_alone() -> None:
    spec = policies()["database-door"]
    assert [peer["ipBlock"]["cidr"] for rule in spec["ingress"] for peer in rule["from"]] == [
        "10.64.0.0/24",
        "10.64.1.0/24",
    ]
    (deployment,) = [d for d in of_kind(built(), "Deployment") if d["metadata"]["name"] == "database-door"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["-m", "handlers.relay", "--within", "10.64.56.0/26", "5432=db.internal:5432"]
    assert container["env"] == []


@pytest.mark.claim("C38")
def test_the_relay_cannot_reach_anything_private() -> None:
    (rule,) = [rule for rule in policies()["relay"]["egress"] if rule["ports"] == [{"protocol": "TCP", "port": 443}]]
    blocked = rule["to"][0]["ipBlock"]["except"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"} <= set(blocked)


def test_a_pod_finds_its_host_at_the_relay_under_the_hosts_own_name() -> None:
    objects = built()
    (pod,) = [pod_of(d)["spec"] for d in of_kind(objects, "Deployment") if d["metadata"]["name"] == "provider-alpha"]
    aliases = {alias["hostnames"][0]: alias["ip"] for alias in pod["hostAliases"]}
    assert set(aliases) == {"api.alpha.com", "secretsmanager.us-east-2.amazonaws.com"}
    addresses = {service["spec"].get("clusterIP") for service in of_kind(objects, "Service")}
    assert set(aliases.values()) <= addresses
    assert pod["dnsPolicy"] == "None"


@pytest.mark.claim("C67")
def test_a_leaving_pod_has_time_for_its_longest_stream() -> None:
    for deployment in of_kind(built(), "Deployment"):
        pod = pod_of(deployment)["spec"]
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] - sleep >= PRODUCTION.request_duration_s_max
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_variables_are_those_of_the_row_and_no_secret_is_among_them() -> None:
    lines = {workload.name: workload for workload in workloads("global", rows("global"))}
    for deployment in of_kind(built(), "Deployment"):
        container = pod_of(deployment)["spec"]["containers"][0]
        assert [entry["name"] for entry in container["env"]] == [
            v.value for v in lines[deployment["metadata"]["name"]].variables
        ]
        assert "valueFrom" not in str(container["env"])
        assert "envFrom" not in container


@pytest.mark.claim("C45", "C46")
def test_the_two_regions_do_not_know_of_one_another() -> None:
    assert not re.search(r"aliyun|cn-hangzhou", str(built("global")))
    assert not re.search(r"amazonaws|us-east-2", str(built("china")))


def test_a_function_has_no_manifests() -> None:
    function = next(row for row in workloads("global", rows("global")) if row.kind is Kind.FUNCTION)
    with pytest.raises(ValueError, match="is a function"):
        documents(cluster("global"), PRODUCTION, function)
