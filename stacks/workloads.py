"""What runs in the cluster: the manifests, one resource for each workload, so that one provider can be deployed alone."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from handlers.workloads import Kind, Workload
from stacks.base import RouterStack
from stacks.manifests import Cluster, Document, base, documents
from stacks.manifests.cluster import NAMESPACE
from stacks.settings import Settings


class WorkloadsStack(RouterStack):
    """Applies the manifests and binds pods to their load balancers."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        cluster: eks.ICluster,
        manifests: Cluster,
        targets: Mapping[str, elbv2.ITargetGroup],
    ) -> None:
        super().__init__(scope, "Workloads", settings=settings)
        self._cluster = cluster
        # The namespace stays when the stack goes: what is left in it would hang.
        ground = self._apply("base", *base(manifests), removal_policy=cdk.RemovalPolicy.RETAIN)
        for workload in settings.workloads:
            if workload.kind is Kind.POD:
                self._apply(workload.name, *documents(manifests, self.policy, workload)).node.add_dependency(ground)
                if workload.name in targets:
                    binding = _binding(workload, targets[workload.name].target_group_arn)
                    self._apply(f"binding-{workload.name}", binding).node.add_dependency(ground)

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


def _binding(workload: Workload, target_group: str) -> Document:
    """A workload's pods, by their own addresses, as targets of a load balancer."""
    return {
        "apiVersion": "elbv2.k8s.aws/v1beta1",
        "kind": "TargetGroupBinding",
        "metadata": {"name": workload.name, "namespace": NAMESPACE},
        "spec": {
            "targetGroupARN": target_group,
            "targetType": "ip",
            "serviceRef": {"name": workload.name, "port": workload.port},
        },
    }
