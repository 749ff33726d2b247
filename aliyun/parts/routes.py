"""The one listener of the load balancer, and the routes behind it: what only our edge may send reaches a room."""

from __future__ import annotations

from typing import Any

from aliyun.settings import Settings
from aliyun.texts import as_json
from handlers.workloads import GATEWAY_PORT, Workload
from stacks.manifests.cluster import Document, metadata

EDGE_TOKEN = "${EdgeToken}"  # noqa: S105 - filled by ROS
EDGE_HEADER = "x-therouter-edge"
"""Sent by our ESA site alone: ESA's origin-pull addresses are shared by all its customers."""
INGRESS_CLASS = "therouter"
TLS_POLICIES = {"1.2": "tls_cipher_policy_1_2_strict_with_1_3", "1.3": "tls_cipher_policy_1_3_strict"}


def load_balancer(settings: Settings) -> list[Document]:
    """The one listener of the load balancer that the ingress stack made."""
    policy = settings.policy
    return [
        {
            "apiVersion": "alibabacloud.com/v1",
            "kind": "AlbConfig",
            "metadata": {"name": INGRESS_CLASS},
            "spec": {
                "config": {"id": "${LoadBalancerId}", "forceOverride": False, "listenerForceOverride": True},
                "listeners": [
                    {
                        "port": 443,
                        "protocol": "HTTPS",
                        "certificates": [{"CertificateId": settings.certificate, "IsDefault": True}],
                        "securityPolicyId": TLS_POLICIES[policy.tls_version_min],
                        # Between requests: the edge's connections end here, because the edge has no such setting.
                        "idleTimeout": policy.edge_keepalive_s,
                        # Within a request: how long the gateway may be silent.
                        "requestTimeout": policy.ingress_idle_s,
                        "http2Enabled": True,
                        "gzipEnabled": False,
                    }
                ],
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": INGRESS_CLASS},
            "spec": {
                "controller": "ingress.k8s.alibabacloud/alb",
                "parameters": {"apiGroup": "alibabacloud.com", "kind": "AlbConfig", "name": INGRESS_CLASS},
            },
        },
    ]


def gateway_route(settings: Settings, gateway: Workload) -> Document:
    """The gateway's paths to its pods, for requests that carry our edge's token."""
    paths = [_path(route, {"name": gateway.name, "port": {"number": GATEWAY_PORT}}) for route in gateway.routes]
    drain = {
        "connection-drain-enabled": "true",
        "connection-drain-timeout": str(settings.policy.request_duration_s_max),
        "healthcheck-enabled": "true",
        "healthcheck-path": "/readyz",
        "healthcheck-protocol": "HTTP",
        "healthcheck-interval-seconds": "5",
        "healthcheck-timeout-seconds": "2",
    }
    return _ingress(gateway.name, "10", paths, {gateway.name: None}, drain)


def function_route(workload: Workload, order: int) -> Document:
    """A function's paths to its server group, for requests that carry our edge's token."""
    backend = {"name": f"function-{workload.name}", "port": {"name": "use-annotation"}}
    paths = [_path(route, backend) for route in workload.routes]
    return _ingress(workload.name, str(order), paths, {f"function-{workload.name}": group_variable(workload)}, {})


def group_variable(workload: Workload) -> str:
    """What stands for the id of a function's server group until ROS fills it."""
    return f"${{{workload.name.capitalize()}GroupId}}"


def _path(route: str, service: dict[str, Any]) -> Document:
    exact = not route.endswith("*")
    return {
        "path": route if exact else route.removesuffix("*").removesuffix("/") or "/",
        "pathType": "Exact" if exact else "Prefix",
        "backend": {"service": service},
    }


def _ingress(
    name: str, order: str, paths: list[Document], services: dict[str, str | None], settings: dict[str, str]
) -> Document:
    """An Ingress; `services` maps each backend to the id of its server group, or None for pods."""
    prefix = "alb.ingress.kubernetes.io"
    token = [{"type": "Header", "headerConfig": {"key": EDGE_HEADER, "values": [EDGE_TOKEN]}}]
    annotations = {f"{prefix}/{key}": value for key, value in settings.items()} | {f"{prefix}/order": order}
    for service, group in services.items():
        annotations[f"{prefix}/conditions.{service}"] = as_json(token)
        if group is not None:
            forward = {"ServerGroups": [{"ServerGroupID": group, "Weight": 100}]}
            annotations[f"{prefix}/actions.{service}"] = as_json([{"type": "ForwardGroup", "ForwardConfig": forward}])
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(name, annotations=annotations),
        "spec": {"ingressClassName": INGRESS_CLASS, "rules": [{"http": {"paths": paths}}]},
    }
