"""What runs in the cluster: the manifests, one resource for each workload, so that one provider can be deployed alone."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from handlers.workloads import GATEWAY_PORT, Kind
from stacks.base import RouterStack
from stacks.manifests import Cluster, Document, base, documents
from stacks.manifests.cluster import NAMESPACE
from stacks.settings import Settings


class WorkloadsStack(RouterStack):
    """Applies the manifests and binds the gateway's pods to the load balancer."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        cluster: eks.ICluster,
        manifests: Cluster,
        targets: elbv2.ApplicationTargetGroup,
    ) -> None:
        super().__init__(scope, "Workloads", settings=settings)
        self._cluster = cluster
        # The namespace stays when the stack goes: what is left in it would hang.
        ground = self._apply("base", *base(manifests), removal_policy=cdk.RemovalPolicy.RETAIN)
        for workload in settings.workloads:
            if workload.kind is Kind.POD:
                self._apply(workload.name, *documents(manifests, self.policy, workload)).node.add_dependency(ground)
        self._apply("binding", _binding(targets.target_group_arn)).node.add_dependency(ground)

    def _apply(
        self, name: str, *objects: Document, removal_policy: cdk.RemovalPolicy | None = None
    ) -> eks.KubernetesManifest:
        return eks.KubernetesManifest(
            self,
            f"Manifest-{name}",
            cluster=self._cluster,
            manifest=list(objects),
            removal_policy=removal_policy,
        )


def _binding(target_group: str) -> Document:
    """The gateway's pods, by their own addresses, as targets of the load balancer."""
    return {
        "apiVersion": "elbv2.k8s.aws/v1beta1",
        "kind": "TargetGroupBinding",
        "metadata": {"name": "gateway", "namespace": NAMESPACE},
        "spec": {
            "targetGroupARN": target_group,
            "targetType": "ip",
            "serviceRef": {"name": "gateway", "port": GATEWAY_PORT},
        },
    }
