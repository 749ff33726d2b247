from __future__ import annotations

from typing import Any

import kubernetes_validate
import msgspec
import pytest

from handlers.catalog.loading import load_catalog
from handlers.workloads import deployable

OURS = "Custom::AWSCDK-EKS-KubernetesResource"


def applied(production: Any) -> dict[str, list[dict[str, Any]]]:
    """Logical id -> the objects that the resource applies; values known only at deployment read as `?`."""
    rows = production.templates["Workloads"]["Resources"].items()
    return {
        name: msgspec.json.decode(flat(row["Properties"]["Manifest"]), type=list[dict[str, Any]])
        for name, row in rows
        if row["Type"] == OURS
    }


def flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else "?" for part in value["Fn::Join"][1])


def test_what_is_shipped_is_strictly_valid(production: Any) -> None:
    objects = [item for items in applied(production).values() for item in items]
    assert len(objects) > 100
    for item in objects:
        if item["kind"] != "TargetGroupBinding":
            kubernetes_validate.validate(item, "1.36", strict=True)


@pytest.mark.claim("C22", "C34")
def test_every_provider_of_the_catalogue_is_deployed_alone(production: Any) -> None:
    slugs = [row.slug for row in deployable(load_catalog("global").providers)]
    for slug in slugs:
        (objects,) = [
            items for items in applied(production).values() if items[0]["metadata"]["name"] == f"provider-{slug}"
        ]
        assert {item["kind"] for item in objects} == {
            "ServiceAccount", "Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler",
        }  # fmt: skip
        assert {item["metadata"]["name"] for item in objects} == {f"provider-{slug}"}


@pytest.mark.claim("C37")
def test_the_namespace_admits_restricted_pods_alone_and_outlives_the_stack(production: Any) -> None:
    (base,) = [name for name in applied(production) if name.startswith("Manifestbase")]
    resource = production.templates["Workloads"]["Resources"][base]
    labels = applied(production)[base][0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert resource["DeletionPolicy"] == "Retain"


def test_the_ground_is_laid_before_anything_stands_on_it(production: Any) -> None:
    resources = production.templates["Workloads"]["Resources"]
    (base,) = [name for name in resources if name.startswith("Manifestbase")]
    others = [row for name, row in resources.items() if row["Type"] == OURS and name != base]
    assert all(base in row["DependsOn"] for row in others)


def test_gateway_and_door_are_the_load_balancers_targets(production: Any) -> None:
    bindings = [i for items in applied(production).values() for i in items if i["kind"] == "TargetGroupBinding"]
    assert sorted((row["spec"]["serviceRef"]["name"], row["spec"]["serviceRef"]["port"]) for row in bindings) == [
        ("database-door", 5432),
        ("gateway", 8080),
    ]
    assert {row["spec"]["targetType"] for row in bindings} == {"ip"}


def test_every_pod_runs_the_one_image_by_digest(production: Any) -> None:
    objects = [item for items in applied(production).values() for item in items if item["kind"] == "Deployment"]
    images = {c["image"] for item in objects for c in item["spec"]["template"]["spec"]["containers"]}
    assert len(images) == 1
    assert "@sha256:" in images.pop()
