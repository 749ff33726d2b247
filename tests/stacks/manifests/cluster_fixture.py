"""A small cluster for tests of the manifests: three providers in either region."""

from __future__ import annotations

from handlers.catalog.entries import Provider
from handlers.workloads import workloads
from stacks.manifests import Cluster, Document, everything
from stacks.policy import PRODUCTION

REGION_CLOUD = {"global": "aws", "china": "aliyun"}


def rows(region: str) -> dict[str, Provider]:
    tail, country = ("com", "US") if region == "global" else ("cn", "CN")
    return {
        slug: Provider(
            slug=slug,
            name=slug,
            base_url=f"https://api.{slug}.{tail}/v1",
            wire_format="openai_chat",
            auth="bearer",
            country=country,
        )
        for slug in ("alpha", "beta", "gamma")
    }


def cluster(region: str) -> Cluster:
    return Cluster(
        region=region,
        cloud=REGION_CLOUD[region],
        environment="production",
        image="registry.example/therouter@sha256:" + "ab" * 32,
        public_url="https://api.example.com",
        mail_sender="notices@example.com",
        database_host="db.internal",
        database_door="door.internal",
        ingress_ranges=("10.64.0.0/24", "10.64.1.0/24"),
        database_ranges=("10.64.56.0/26",),
        relay_block="172.20.128.0/17",
        identity_range="169.254.170.23/32",
        account_annotations={"gateway": {"example.com/role": "gateway"}},
    )


def built(region: str = "global") -> list[Document]:
    return everything(cluster(region), PRODUCTION, workloads(region, rows(region)))


def of_kind(objects: list[Document], kind: str) -> list[Document]:
    return [item for item in objects if item["kind"] == kind]
