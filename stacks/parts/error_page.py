"""What CloudFront answers when nobody else does: one JSON file."""

from __future__ import annotations

from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as s3_deployment

from stacks.base import RouterStack
from stacks.parts.bucket import closed_bucket
from stacks.parts.findings import accept_uploader

ERROR_PATH = "/errors/503.json"


def build_error_page(stack: RouterStack) -> s3.Bucket:
    """The bucket that holds the page."""
    bucket = closed_bucket(stack, "Errors")
    seconds = stack.policy.edge_retry_after_s
    message = f"TheRouter could not obtain an answer. Nothing was charged for it; retry after {seconds} s."
    body = {"error": {"message": message, "type": "server_error", "code": "temporarily_unavailable"}}
    s3_deployment.BucketDeployment(
        stack,
        "ErrorPage",
        destination_bucket=bucket,
        sources=[s3_deployment.Source.json_data(ERROR_PATH.removeprefix("/"), body)],
        content_type="application/json",
        cache_control=[s3_deployment.CacheControl.no_store()],
    )
    accept_uploader(stack)
    return bucket
