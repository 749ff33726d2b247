"""What one deployment to AWS is told: its stage, its domain, its image, its providers. Read once, refused with its name.

The values come from the context of the CDK (`cdk.json`, or `-c name=value`); nothing else in stacks/ reads context, the
environment or the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.catalog.entries import Provider
from handlers.settings import NO_DOORS, Doors
from handlers.workloads import Workload, archive_name, deployable, host_of, workloads
from stacks.policy import STAGES, Policy, check
from stacks.reading import SettingError, doors, matching, names, text

REGION = "us-east-2"
EDGE_REGION = "us-east-1"
"""CloudFront's certificates, web ACLs, log deliveries and Route 53's metrics exist only there."""
ROUTER_REGION = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment."""

    stage: str
    account: str
    domain: str
    """What clients type: api.example.com."""
    zone_name: str
    zone_id: str
    image: str
    """ACCOUNT.dkr.ecr.us-east-2.amazonaws.com/REPOSITORY@sha256:DIGEST"""
    alarm_email: str
    administrators: tuple[str, ...]
    """Names of the IAM roles whose holders may administer the cluster."""
    providers: Mapping[str, Provider]
    policy: Policy
    doors: Doors = NO_DOORS

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Everything that runs."""
        return workloads(ROUTER_REGION, self.providers, self.doors)

    @property
    def archive(self) -> str:
        """The bucket that copies of audit checkpoints are locked in."""
        return archive_name(self.stage, self.account)

    @property
    def mail_sender(self) -> str:
        """The address that notices to people come from."""
        return f"notices@{self.zone_name}"

    @property
    def repository(self) -> str:
        """The image's repository name in ECR."""
        return self.image.partition("/")[2].partition("@")[0]

    @property
    def digest(self) -> str:
        """The image's digest: sha256 and 64 characters."""
        return self.image.partition("@")[2]

    @property
    def cluster_name(self) -> str:
        """The cluster's name; fixed because its log group must exist before it does."""
        return f"therouter-{self.stage}"

    def log_group(self, workload: Workload) -> str:
        """The log group of a function; fixed because its role, in another stack, names it."""
        return f"/therouter/{self.stage}/{workload.name}"


_ACCOUNT = re.compile(r"\d{12}")
_DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_ZONE = re.compile(r"Z[A-Z0-9]{1,31}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{3,253}")
_IMAGE = re.compile(
    r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9][a-z0-9/_.-]{1,255})@sha256:[0-9a-f]{64}"
)


def parse(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> Settings:
    """Read one deployment from the CDK's context, or raise SettingError. `catalogue` holds the global region's providers."""
    stage = text(context, "stage", "choose production, staging or small")
    if stage not in STAGES:
        raise SettingError(f"stage is {stage!r}: choose one of {', '.join(STAGES)}")
    domain = matching(context, "domain", _DOMAIN, "give the public name, as in -c domain=api.example.com")
    zone_name = matching(context, "zone_name", _DOMAIN, "give the Route 53 zone's name, as in -c zone_name=example.com")
    if domain != zone_name and not domain.endswith(f".{zone_name}"):
        raise SettingError(
            f"domain is {domain!r}, which is not in zone_name {zone_name!r}: name the zone that holds it"
        )
    account = matching(context, "account", _ACCOUNT, "give the 12-digit AWS account")
    return Settings(
        stage=stage,
        account=account,
        domain=domain,
        zone_name=zone_name,
        zone_id=matching(context, "zone_id", _ZONE, "give the Route 53 zone's id, as in -c zone_id=Z0123456789ABC"),
        image=_image(context, account),
        alarm_email=matching(context, "alarm_email", _EMAIL, "give the address that alarms are sent to"),
        administrators=names(context, "administrators", "name the IAM roles of the operators, separated by commas"),
        providers=_providers(context, catalogue),
        policy=check(STAGES[stage]),
        doors=doors(context),
    )


def _image(context: Mapping[str, object], account: str) -> str:
    remedy = f"give repository and digest, as in {account}.dkr.ecr.{REGION}.amazonaws.com/therouter@sha256:..."
    value = matching(context, "image", _IMAGE, remedy)
    match = _IMAGE.fullmatch(value)
    if match is None or match[1] != account or match[2] != REGION:
        raise SettingError(f"image is {value!r}: it must lie in account {account} in {REGION}, where it runs")
    return value


def _providers(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> dict[str, Provider]:
    """The providers named in `providers`, or all that can have a pod."""
    if not context.get("providers"):
        return {provider.slug: provider for provider in deployable(catalogue)}
    chosen = names(context, "providers", "name providers of the catalogue, separated by commas")
    for name in chosen:
        if name not in catalogue:
            raise SettingError(f"providers names {name!r}: choose from {', '.join(sorted(catalogue))}")
        try:
            host_of(catalogue[name])
        except ValueError as refused:
            raise SettingError(f"providers: {refused}") from refused
    return {name: catalogue[name] for name in chosen}
