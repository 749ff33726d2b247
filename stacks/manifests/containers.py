"""The container of a pod: its image, its variables, its ports, its probes, and everything that it may not do."""

from __future__ import annotations

from handlers.settings import Variable
from handlers.workloads import DATABASE_PORT, OPERATOR_PORT, Workload
from stacks.manifests.cluster import NAMESPACE, Cluster, Document, relay_port
from stacks.policy import Policy

SPOOL_FOLDER = "/var/spool/therouter"
AUTHORITIES_FILE = "/app/authorities/database.pem"
"""Where the image keeps the certificates of the database's authorities."""
RESOURCES = {
    "gateway": ("1", "512Mi", "1Gi"),
    "provider": ("500m", "256Mi", "512Mi"),
    "relay": ("500m", "128Mi", "256Mi"),
    "door": ("100m", "128Mi", "256Mi"),
}
"""Room -> processor time asked for, memory asked for, memory allowed. No processor limit: throttling stalls streams."""


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
        Variable.DATABASE_DOOR: cluster.database_door,
        Variable.ARCHIVE: cluster.archive,
        **cluster.doors.variables(),
    }
    return {variable.value: values[variable] for variable in workload.variables}


def container(cluster: Cluster, policy: Policy, workload: Workload, volumes: list[Document]) -> Document:
    """The one container of a pod: read-only, without a right, with what its row names."""
    cpu, memory, memory_max = RESOURCES[workload.room]
    folders = {"tmp": "/tmp", "spool": SPOOL_FOLDER}  # noqa: S108 - a mount point in the container, in memory
    return {
        "name": workload.room,
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-m", workload.entry, *_arguments(cluster, workload)],
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


def _arguments(cluster: Cluster, workload: Workload) -> list[str]:
    """Where a relay's ports lead; the database's host is called within its own networks alone."""
    if workload.room == "door":
        within = [word for net in cluster.database_ranges for word in ("--within", net)]
        return [*within, f"{workload.port}={cluster.database_host}:{DATABASE_PORT}"]
    return [f"{relay_port(host)}={host}" for host in workload.hosts] if workload.room == "relay" else []


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
