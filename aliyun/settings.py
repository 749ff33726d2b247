"""What one deployment to Alibaba Cloud is told: its stage, its domain, its image, its filings. Read once, refused with its name.

The values come from a TOML file of the operator's and from `--set name=value`; nothing else in aliyun/ reads files, the
environment or the network. Nothing here is a secret: values that nobody may read travel as NoEcho parameters (`deploy.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aliyun.reading import DOORS, FORMS, SettingError, doors, matching, names, networks, text
from aliyun.sizes import SIZES, Sizes
from handlers.catalog.entries import Provider
from handlers.settings import NO_DOORS, Doors
from handlers.workloads import Workload, archive_name, deployable, host_of, workloads
from stacks.policy import STAGES, Policy, check

REGION = "cn-hangzhou"
"""The one region of this side; there is no setting for it."""
ROUTER_REGION = "china"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment."""

    stage: str
    account: str
    domain: str
    """What clients type: api.example.cn."""
    zone_name: str
    """The filed domain, which holds it."""
    icp_filing: str
    """Number of the ICP filing of the domain."""
    generative_filing: str
    """Number of the filing of the generative service."""
    esa_instance: str
    """Instance id of the purchased ESA plan."""
    esa_ruleset: int
    """Id of the site's ruleset of managed firewall rules, made once in the console."""
    esa_origin_ranges: tuple[str, ...]
    """ESA's origin-pull addresses; the load balancer admits nobody else."""
    certificate: str
    """Id of the origin's certificate in Certificate Management Service."""
    image: str
    """INSTANCE-registry-vpc.cn-hangzhou.cr.aliyuncs.com/NAMESPACE/REPOSITORY@sha256:DIGEST"""
    registry: str
    """Instance id of the purchased container registry."""
    alarm_email: str
    zones: tuple[str, ...]
    kubernetes: str
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
    def repository(self) -> tuple[str, str]:
        """The image's namespace and repository."""
        namespace, _, name = self.image.partition("/")[2].partition("@")[0].partition("/")
        return namespace, name

    @property
    def sizes(self) -> Sizes:
        """The machine sizes of the stage."""
        return SIZES[self.stage]


_RANGES_REMEDY = "list ESA's origin-pull networks; without them the load balancer admits nobody"
DEFAULTS: dict[str, object] = {
    "zones": "cn-hangzhou-h,cn-hangzhou-j,cn-hangzhou-k",
    "kubernetes": "1.34.1-aliyun.1",
}


def parse(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> Settings:
    """Read one deployment from the operator's values, or raise SettingError. `catalogue` holds the china region's providers."""
    given = DEFAULTS | dict(context)
    unknown = given.keys() - FORMS.keys() - {"stage", "zones", "esa_origin_ranges", "providers", *DOORS}
    if unknown:
        raise SettingError(f"{', '.join(sorted(unknown))}: no such setting")
    stage = text(given, "stage", "choose production, staging or small")
    if stage not in STAGES:
        raise SettingError(f"stage is {stage!r}: choose one of {', '.join(STAGES)}")
    policy = check(STAGES[stage])
    texts = {name: matching(given, name, form, remedy) for name, (form, remedy) in FORMS.items()}
    if texts["domain"] != texts["zone_name"] and not texts["domain"].endswith(f".{texts['zone_name']}"):
        raise SettingError(f"domain is {texts['domain']!r}, which is not in zone_name {texts['zone_name']!r}")
    return Settings(
        stage=stage,
        policy=policy,
        esa_ruleset=int(texts.pop("esa_ruleset")),
        esa_origin_ranges=networks(given, "esa_origin_ranges", _RANGES_REMEDY),
        zones=_zones(given, policy),
        providers=_providers(given, catalogue),
        doors=doors(given),
        **texts,
    )


def _zones(context: Mapping[str, object], policy: Policy) -> tuple[str, ...]:
    remedy = f"name {policy.availability_zones} different zones of {REGION}, separated by commas"
    zones = names(context, "zones", remedy)
    if len(set(zones)) != policy.availability_zones or len(zones) != policy.availability_zones:
        raise SettingError(f"zones is {', '.join(zones)}: {remedy}")
    for zone in zones:
        if not re.fullmatch(rf"{REGION}-[a-z]", zone):
            raise SettingError(f"zones names {zone!r}: {remedy}")
    return zones


def _providers(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> dict[str, Provider]:
    """The providers named in `providers`, or all that can have a pod; all of them in the mainland."""
    if context.get("providers"):
        chosen = names(context, "providers", "name providers of the catalogue, separated by commas")
    else:
        chosen = tuple(provider.slug for provider in deployable(catalogue))
    for name in chosen:
        if name not in catalogue:
            raise SettingError(f"providers names {name!r}: choose from {', '.join(sorted(catalogue))}")
        if catalogue[name].country != "CN":
            raise SettingError(
                f"providers names {name!r}, which does not process in mainland China (region_restricted)"
            )
        try:
            host_of(catalogue[name])
        except ValueError as refused:
            raise SettingError(f"providers: {refused}") from refused
    return {name: catalogue[name] for name in chosen}
