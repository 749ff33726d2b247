"""The cluster: ACK Pro, private, with network policies, a node pool for the gateway and one for the providers, and pod identities."""

from __future__ import annotations

from aliyun.base import Resource, RouterStack
from aliyun.network import NetworkStack
from aliyun.parts.nodes import build_pool
from aliyun.secrets import SecretsStack
from aliyun.settings import REGION, Settings
from aliyun.texts import as_json, camel, sub
from handlers.workloads import Kind, Workload
from stacks.manifests.cluster import NAMESPACE

SERVICE_ADDRESSES = "172.20.0.0/16"
RELAY_BLOCK = "172.20.128.0/17"
"""Within the service addresses: where the relay's names point."""
ADDONS: dict[str, dict[str, object]] = {
    "terway-eniip": {"IPVlan": "false", "NetworkPolicy": "true", "ENITrunking": "true"},
    "ack-pod-identity-webhook": {},
    "alb-ingress-controller": {"albIngress": {"CreateDefaultALBConfig": False}},
    "metrics-server": {},
    "managed-csiprovisioner": {},
    "csi-plugin": {},
}
"""Terway with network policies on (without it they are accepted and ignored), and what identities, ingress and scaling need."""
DISABLED_ADDONS = ("nginx-ingress-controller", "arms-prometheus", "logtail-ds", "ack-node-problem-detector")


class ClusterStack(RouterStack):
    """The Kubernetes cluster, its node pools, and the identity of every pod."""

    name = "cluster"

    def __init__(self, settings: Settings, *, network: NetworkStack, secrets: SecretsStack) -> None:
        super().__init__(settings)
        self._network = network
        self._cluster = self._control_plane(secrets)
        self.cluster = self.export("ClusterId", self._cluster.att("ClusterId"), "The cluster")
        for pool in ("gateway", "provider"):
            build_pool(self, self._cluster, network, pool)
        self.roles = {row.name: self._role(row, secrets) for row in settings.workloads if row.kind is Kind.POD}
        """Pod workload -> the name of its role."""

    def _control_plane(self, secrets: SecretsStack) -> Resource:
        settings, network = self.settings, self._network
        return self.add(
            "Cluster",
            "ALIYUN::CS::ManagedKubernetesCluster",
            {
                "Name": self.physical("cluster"),
                "ClusterSpec": "ack.pro.small",
                "KubernetesVersion": settings.kubernetes,
                "VpcId": self.use(network.vpc),
                "VSwitchIds": [self.use(switch) for switch in network.switches["provider"]],
                "PodVswitchIds": [self.use(switch) for switch in network.switches["provider"]],
                "ServiceCidr": SERVICE_ADDRESSES,
                "IsEnterpriseSecurityGroup": True,
                "SecurityGroupId": self.use(network.groups["provider"]),
                "SnatEntry": False,
                "EndpointPublicAccess": False,
                "EncryptionProviderKey": self.use(secrets.environment_key),
                "RrsaConfig": {"Enabled": True},
                "ProxyMode": "ipvs",
                "ControlPlaneLogComponents": ["apiserver", "kcm", "scheduler", "ccm", "controlplane-events"],
                "ControlPlaneLogProject": self.use(network.log_project),
                "ControlPlaneLogTtl": settings.policy.cluster_log_retention_days,
                "DeletionProtection": True,
                "MaintenanceWindow": {
                    "Enable": True,
                    "MaintenanceTime": "2026-01-01T18:00:00Z",
                    "Duration": "3h",
                    "WeeklyPeriod": "Tuesday",
                },
                "Addons": [
                    *({"Name": name, "Config": as_json(config)} for name, config in ADDONS.items()),
                    {"Name": "managed-aliyun-acr-credential-helper", "Config": as_json(self._pulling())},
                    *({"Name": name, "Disabled": True} for name in DISABLED_ADDONS),
                ],
            },
            retain=True,
        )

    def _pulling(self) -> dict[str, object]:
        """Pods of our namespace pull from our registry, without a password in the cluster."""
        registry = {"instanceId": self.settings.registry, "regionId": REGION}
        return {"AcrInstanceInfo": [registry], "watchNamespace": NAMESPACE, "serviceAccount": "*"}

    def _role(self, workload: Workload, secrets: SecretsStack) -> str:
        """One pod workload's role: assumable by its service account alone, and able to read its own secrets alone."""
        name = self.physical(workload.name)
        here, cluster = f"oidc-ack-{REGION}.oss-{REGION}.aliyuncs.com", self._cluster.att("ClusterId")
        issuer = sub(f"https://{here}/${{Id}}", Id=cluster)
        registered = sub(f"acs:ram::{self.settings.account}:oidc-provider/ack-rrsa-${{Id}}", Id=cluster)
        subject = f"system:serviceaccount:{NAMESPACE}:{workload.name}"
        token = {"oidc:iss": [issuer], "oidc:aud": ["sts.aliyuncs.com"], "oidc:sub": [subject]}
        self.add(
            f"{camel(workload.name)}Role",
            "ALIYUN::RAM::Role",
            {
                "RoleName": name,
                "Description": f"The pods of {workload.name} and nobody else",
                "MaxSessionDuration": 3_600,
                "AssumeRolePolicyDocument": {
                    "Version": "1",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "sts:AssumeRole",
                            "Principal": {"Federated": [registered]},
                            "Condition": {"StringEquals": token},
                        }
                    ],
                },
                "Policies": secrets.reading(workload, self),
            },
        )
        return name
