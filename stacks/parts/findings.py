"""Findings of cdk-nag in the CDK's own parts, accepted with the reason. They run when a deployment does, and not in between."""

from __future__ import annotations

from aws_cdk import aws_eks_v2 as eks

from stacks.base import RouterStack, accept, child

MANAGED = "Policy::arn:<AWS::Partition>:iam::aws:policy/"
_PUBLIC_REGISTRY = (
    '{"Fn::If":["ClusterKubectlProviderHandlerHasEcrPublic69E09706",{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},'
    '":iam::aws:policy/AmazonElasticContainerRegistryPublicReadOnly"]]},{"Ref":"AWS::NoValue"}]}'
)
_CONTROLLER_RESOURCES = (
    "*",
    "arn:<AWS::Partition>:ec2:*:*:security-group/*",
    *(
        f"arn:<AWS::Partition>:elasticloadbalancing:*:*:{kind}"
        for kind in (
            "loadbalancer/app/*/*",
            "loadbalancer/net/*/*",
            "targetgroup/*/*",
            "listener/app/*/*/*",
            "listener/net/*/*/*",
            "listener-rule/app/*/*/*",
            "listener-rule/net/*/*/*",
        )
    ),
)


def accept_cluster_parts(stack: RouterStack, cluster: eks.ICluster) -> None:
    """What comes along with a cluster."""
    accept(cluster, f"IAM4[{MANAGED}AmazonEKSClusterPolicy]", "EKS requires it of every cluster")
    hands = child(cluster, "KubectlProvider")
    for finding in (
        f"IAM4[{MANAGED}service-role/AWSLambdaBasicExecutionRole]",
        f"IAM4[{MANAGED}service-role/AWSLambdaVPCAccessExecutionRole]",
        f"IAM4[{MANAGED}AmazonEC2ContainerRegistryReadOnly]",
        f"IAM4[Policy::{_PUBLIC_REGISTRY}]",
        "IAM5[Resource::<ClusterKubectlProviderHandler2E05C68A.Arn>:*]",
        "L1",
    ):
        accept(hands, finding, "the CDK's hand on the cluster, in the CDK's own version; it runs at deployments alone")
    controller = child(stack, "-AlbController")
    for resource in _CONTROLLER_RESOURCES:
        accept(controller, f"IAM5[Resource::{resource}]", "the load balancer controller's published policy, unchanged")


def accept_uploader(stack: RouterStack) -> None:
    """What comes along with an uploaded file."""
    (uploader,) = [node for node in stack.node.children if node.node.id.startswith("Custom::CDKBucketDeployment")]
    assets = f"arn:aws:s3:::cdk-hnb659fds-assets-{stack.account}-{stack.region}/*"
    actions = ("GetBucket*", "GetObject*", "List*", "Abort*", "DeleteObject*")
    for finding in (
        "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        *(f"IAM5[Action::s3:{action}]" for action in actions),
        "IAM5[Resource::<ErrorsFA5270DE.Arn>/*]",
        f"IAM5[Resource::{assets}]",
        "L1",
    ):
        accept(uploader, finding, "the CDK's own uploader of the one error page; it runs at deployments alone")
