"""What runs: for each workload an identity, a Deployment, a Service, a budget for disruptions and an autoscaler."""

from __future__ import annotations

from handlers.settings import Variable
from handlers.workloads import DATABASE_PORT, OPERATOR_PORT, Workload
from stacks.manifests.cluster import (
    NAME_LABEL,
    NAMESPACE,
    POOL_LABEL,
    POOLS,
    Cluster,
    Document,
    hosts_of,
    labels,
    metadata,
    relay_address,
    relay_port,
)
from stacks.policy import Policy

USER_ID = 10_001
SPOOL_FOLDER = "/var/spool/therouter"
AUTHORITIES_FILE = "/app/authorities/database.pem"
"""Where the image keeps the certificates of the database's authorities."""
RESOURCES = {
    "gateway": ("1", "512Mi", "1Gi"),
    "provider": ("500m", "256Mi", "512Mi"),
    "relay": ("500m", "128Mi", "256Mi"),
}
"""Room -> processor time asked for, memory asked for, memory allowed. No processor limit: throttling stalls streams."""


def namespace(cluster: Cluster) -> Document:
    """Our namespace, under Pod Security `restricted`."""
    security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {**security, **cluster.namespace_labels}},
    }


def service_account(cluster: Cluster, workload: Workload) -> Document:
    """The workload's own identity, without a token for the Kubernetes API."""
    annotations = dict(cluster.account_annotations.get(workload.name, {}))
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload.name, **({"annotations": annotations} if annotations else {})),
        "automountServiceAccountToken": False,
    }


def services(cluster: Cluster, workload: Workload) -> list[Document]:
    """The workload's Service; for the relay one for each host, at the address that pods find under the host's name."""
    if workload.room != "relay":
        return [_service(workload.name, workload, {"port": workload.port, "targetPort": workload.port})]
    return [
        _service(
            f"relay-{relay_port(host)}",
            workload,
            {"port": 443, "targetPort": relay_port(host)},
            clusterIP=relay_address(cluster, host),
        )
        for host in workload.hosts
    ]


def deployment(cluster: Cluster, policy: Policy, workload: Workload) -> Document:
    """The pods. Their number is the autoscaler's."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload.name, labels=labels(cluster, workload)),
        "spec": {
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {NAME_LABEL: workload.name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels(cluster, workload)},
                "spec": _pod(cluster, policy, workload),
            },
        },
    }


def disruption_budget(workload: Workload) -> Document:
    """At most one pod leaves at a time when nodes are drained; pods that never became ready do not block it."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {NAME_LABEL: workload.name}},
        },
    }


def autoscaler(policy: Policy, workload: Workload) -> Document:
    """Pods by processor time: up at once, down after quiet minutes."""
    scale = "gateway" if workload.room == "gateway" else "provider"
    usage = {"type": "Utilization", "averageUtilization": policy.scale_at_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": getattr(policy, f"{scale}_replicas_min"),
            "maxReplicas": getattr(policy, f"{scale}_replicas_max"),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": policy.scale_down_wait_s},
            },
        },
    }


def environment(cluster: Cluster, workload: Workload) -> dict[str, str]:
    """The values of exactly the variables that the workload's row names."""
    providers = ",".join(secret.removeprefix("wire/") for secret in workload.secrets if secret.startswith("wire/"))
    values = {
        Variable.REGION: cluster.region,
        Variable.CLOUD: cluster.cloud,
        Variable.ENVIRONMENT: cluster.environment,
        Variable.LOG_LEVEL: "info",
        Variable.LISTEN: f"0.0.0.0:{workload.port}",
        Variable.OPERATOR_LISTEN: f"0.0.0.0:{OPERATOR_PORT}",
        Variable.PROVIDER: workload.provider,
        Variable.PROVIDERS: providers,
        Variable.WIRE: f"provider-{{provider}}.{NAMESPACE}.svc.cluster.local:8080",
        Variable.SPOOL: SPOOL_FOLDER,
        Variable.PUBLIC_URL: cluster.public_url,
        Variable.MAIL: cluster.mail_sender,
        Variable.DATABASE_HOST: cluster.database_host,
        Variable.DATABASE_PORT: str(DATABASE_PORT),
        Variable.DATABASE_NAME: "therouter",
        Variable.DATABASE_ROLE: workload.database_role,
        Variable.DATABASE_CA: AUTHORITIES_FILE,
        Variable.ARCHIVE: cluster.archive,
        **cluster.doors.variables(),
    }
    return {variable.value: values[variable] for variable in workload.variables}


def _service(name: str, workload: Workload, port: Document, **spec: object) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": {
            "type": "ClusterIP",
            "selector": {NAME_LABEL: workload.name},
            "trafficDistribution": "PreferClose",
            "ports": [{"protocol": "TCP", **port}],
            **spec,
        },
    }


def _pod(cluster: Cluster, policy: Policy, workload: Workload) -> Document:
    aliases = [{"ip": relay_address(cluster, host), "hostnames": [host]} for host in hosts_of(cluster, workload)]
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]
    if Variable.SPOOL in workload.variables:
        volumes.append({"name": "spool", "emptyDir": {"sizeLimit": "4Gi"}})
    pool = POOLS[workload.room]
    return {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": policy.termination_grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": {POOL_LABEL: pool},
        "tolerations": [{"key": POOL_LABEL, "operator": "Equal", "value": pool, "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            _spread(workload, "topology.kubernetes.io/zone", "DoNotSchedule"),
            _spread(workload, "kubernetes.io/hostname", "ScheduleAnyway"),
        ],
        # Without names to look up, a pod asks no name server: nothing can be smuggled out in a query.
        **({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}} if workload.room == "provider" else {}),
        **({"hostAliases": aliases} if aliases else {}),
        "containers": [_container(cluster, policy, workload, volumes)],
        "volumes": volumes,
    }


def _container(cluster: Cluster, policy: Policy, workload: Workload, volumes: list[Document]) -> Document:
    cpu, memory, memory_max = RESOURCES[workload.room]
    folders = {"tmp": "/tmp", "spool": SPOOL_FOLDER}  # noqa: S108 - a mount point in the container, in memory
    routes = [f"{relay_port(host)}={host}" for host in workload.hosts] if workload.room == "relay" else []
    return {
        "name": workload.room,
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-m", workload.entry, *routes],
        "env": [{"name": name, "value": value} for name, value in environment(cluster, workload).items()],
        "ports": _ports(workload),
        "resources": {
            "requests": {"cpu": cpu, "memory": memory, "ephemeral-storage": "64Mi"},
            "limits": {"memory": memory_max, "ephemeral-storage": "5Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": policy.drain_delay_s}}},
        **_probes(workload),
        "volumeMounts": [{"name": volume["name"], "mountPath": folders[volume["name"]]} for volume in volumes],
    }


def _ports(workload: Workload) -> list[Document]:
    if workload.room == "relay":
        return [{"name": f"p{relay_port(host)}", "containerPort": relay_port(host)} for host in workload.hosts]
    operator = [{"name": "operator", "containerPort": OPERATOR_PORT}] if _has_operator_port(workload) else []
    return [{"name": "serving", "containerPort": workload.port}, *operator]


def _has_operator_port(workload: Workload) -> bool:
    return Variable.OPERATOR_LISTEN in workload.variables


def _probes(workload: Workload) -> Document:
    """Live: the port answers. Ready: it may be given work."""
    port = _ports(workload)[0]["name"]
    alive: Document = {"tcpSocket": {"port": port}}
    ready: Document = {"httpGet": {"path": "/readyz", "port": port}} if _has_operator_port(workload) else alive
    return {
        "startupProbe": {**alive, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
    }


def _spread(workload: Workload, key: str, otherwise: str) -> Document:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": otherwise,
        "labelSelector": {"matchLabels": {NAME_LABEL: workload.name}},
        "matchLabelKeys": ["pod-template-hash"],
    }
