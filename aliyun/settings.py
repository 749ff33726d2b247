"""What one deployment to Alibaba Cloud is told: its stage, its domain, its image, its filings. Read once, refused with its name.

The values come from a TOML file of the operator's and from `--set name=value`; nothing else in aliyun/ reads files, the
environment or the network. Nothing here is a secret: values that nobody may read travel as NoEcho parameters (`deploy.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Network

from handlers import settings as handlers_settings
from handlers.catalog.entries import Provider
from handlers.settings import NO_DOORS, Doors
from handlers.workloads import Workload, archive_name, deployable, host_of, workloads
from stacks.policy import STAGES, Policy, check

REGION = "cn-hangzhou"
"""The one region of this side; there is no setting for it."""
ROUTER_REGION = "china"


class SettingError(ValueError):
    """A setting is missing or malformed; the message names it and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Machine sizes of a stage."""

    gateway_node: str
    provider_node: str
    database: str
    key_store: str


SIZES = {
    "production": Sizes(
        gateway_node="ecs.g8y.xlarge",
        provider_node="ecs.g8y.large",
        database="pg.x4m.xlarge.2c",
        key_store="software",
    ),
    "staging": Sizes(
        gateway_node="ecs.g8y.large",
        provider_node="ecs.g8y.large",
        database="pg.n2m.medium.2c",
        key_store="software-small",
    ),
    "small": Sizes(
        gateway_node="ecs.g8y.large",
        provider_node="ecs.g8y.large",
        database="pg.n2m.small.1",
        key_store="software-small",
    ),
}


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


DEFAULTS: dict[str, object] = {
    "zones": "cn-hangzhou-h,cn-hangzhou-j,cn-hangzhou-k",
    "kubernetes": "1.34.1-aliyun.1",
}
_FORMS: dict[str, tuple[str, str]] = {
    "account": (r"\d{16}", "give the 16-digit Alibaba Cloud account; it is this region's alone"),
    "domain": (r"([a-z0-9-]{1,63}\.)+[a-z]{2,63}", "give the public name, as in domain=api.example.cn"),
    "zone_name": (r"([a-z0-9-]{1,63}\.)+[a-z]{2,63}", "give the filed domain, as in zone_name=example.cn"),
    "icp_filing": (
        r"\S.{5,40}",
        "complete the ICP filing and give its number: the mainland edge takes no other domain",
    ),
    "generative_filing": (r"\S.{3,60}", "file the generative service and give the number of the filing"),
    "esa_instance": (r"esa-[\w-]{3,60}", "buy an ESA plan and give its instance id, which begins with esa-"),
    "esa_ruleset": (r"[1-9]\d{0,15}", "make the ruleset of managed rules once in the ESA console and give its id"),
    "certificate": (r"[\w-]{3,80}", "upload the origin's certificate and give its id"),
    "image": (
        r"[\w.-]+\.cn-hangzhou\.cr\.aliyuncs\.com/[\w.-]+/[\w.-]+@sha256:[0-9a-f]{64}",
        "give registry, repository and digest, in a registry in cn-hangzhou: NAME.cn-hangzhou.cr.aliyuncs.com/...@sha256:...",
    ),
    "registry": (
        r"cri-\w{3,40}",
        "buy a container registry in cn-hangzhou and give its instance id, which begins with cri-",
    ),
    "alarm_email": (r"[^@\s]{1,64}@[^@\s]{3,253}", "give the address that alarms are sent to"),
    "kubernetes": (r"1\.\d+\.\d+-aliyun\.\d+", "give a version that ACK offers, as in 1.34.1-aliyun.1"),
}
_DOORS = tuple(field.name for field in fields(Doors))
_FOREIGN = re.compile(r"amazonaws|cloudfront|github|\b(us|eu|ap|ca|sa|me|af)-[a-z]+-\d|\bglobal\b", re.IGNORECASE)


def parse(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> Settings:
    """Read one deployment from the operator's values, or raise SettingError. `catalogue` holds the china region's providers."""
    given = DEFAULTS | dict(context)
    unknown = given.keys() - _FORMS.keys() - {"stage", "zones", "esa_origin_ranges", "providers", *_DOORS}
    if unknown:
        raise SettingError(f"{', '.join(sorted(unknown))}: no such setting")
    stage = _text(given, "stage", "choose production, staging or small")
    if stage not in STAGES:
        raise SettingError(f"stage is {stage!r}: choose one of {', '.join(STAGES)}")
    policy = check(STAGES[stage])
    texts = {name: _matching(given, name, form, remedy) for name, (form, remedy) in _FORMS.items()}
    if texts["domain"] != texts["zone_name"] and not texts["domain"].endswith(f".{texts['zone_name']}"):
        raise SettingError(f"domain is {texts['domain']!r}, which is not in zone_name {texts['zone_name']!r}")
    return Settings(
        stage=stage,
        policy=policy,
        esa_ruleset=int(texts.pop("esa_ruleset")),
        esa_origin_ranges=_ranges(given),
        zones=_zones(given, policy),
        providers=_providers(given, catalogue),
        doors=_doors(given),
        **texts,
    )


def _doors(context: Mapping[str, object]) -> Doors:
    """Who vouches for people and who tells us of keys in public; what is not named is nobody."""
    given = {name: _text(context, name, "") for name in _DOORS if context.get(name)}
    try:
        return Doors(**given).checked()
    except handlers_settings.SettingError as refused:
        # The room's name of the variable is the deployment's name of the setting.
        name, _, complaint = str(refused).removeprefix("THEROUTER_").partition(" ")
        raise SettingError(f"{name.lower()} {complaint}") from refused


def _text(context: Mapping[str, object], name: str, remedy: str) -> str:
    value = str(context.get(name, "")).strip()
    if not value:
        raise SettingError(f"{name} is missing: {remedy}")
    if _FOREIGN.search(value):
        raise SettingError(
            f"{name} is {value!r}, a name of the global region: these stacks are the china region's alone"
        )
    return value


def _matching(context: Mapping[str, object], name: str, form: str, remedy: str) -> str:
    value = _text(context, name, remedy)
    if not re.fullmatch(form, value):
        raise SettingError(f"{name} is {value!r}: {remedy}")
    return value


def _list(context: Mapping[str, object], name: str, remedy: str) -> tuple[str, ...]:
    value = context.get(name, "")
    parts = value if isinstance(value, list) else str(value).split(",")
    names = tuple(str(part).strip() for part in parts if str(part).strip())
    if not names:
        raise SettingError(f"{name} is missing: {remedy}")
    return names


def _zones(context: Mapping[str, object], policy: Policy) -> tuple[str, ...]:
    remedy = f"name {policy.availability_zones} different zones of {REGION}, separated by commas"
    zones = _list(context, "zones", remedy)
    if len(set(zones)) != policy.availability_zones or len(zones) != policy.availability_zones:
        raise SettingError(f"zones is {', '.join(zones)}: {remedy}")
    for zone in zones:
        if not re.fullmatch(rf"{REGION}-[a-z]", zone):
            raise SettingError(f"zones names {zone!r}: {remedy}")
    return zones


def _ranges(context: Mapping[str, object]) -> tuple[str, ...]:
    remedy = "list ESA's origin-pull networks; without them the load balancer admits nobody"
    ranges = _list(context, "esa_origin_ranges", remedy)
    for text in ranges:
        try:
            network = IPv4Network(text)
        except ValueError as error:
            raise SettingError(f"esa_origin_ranges names {text!r}, which is no IPv4 network: {remedy}") from error
        if network.prefixlen < 8:
            raise SettingError(f"esa_origin_ranges names {text}, which is half the internet: {remedy}")
    return ranges


def _providers(context: Mapping[str, object], catalogue: Mapping[str, Provider]) -> dict[str, Provider]:
    """The providers named in `providers`, or all that can have a pod; all of them in the mainland."""
    if context.get("providers"):
        names = _list(context, "providers", "name providers of the catalogue, separated by commas")
    else:
        names = tuple(provider.slug for provider in deployable(catalogue))
    for name in names:
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
    return {name: catalogue[name] for name in names}
