"""Every environment variable, declared once and parsed once into frozen values.

Infrastructure (stacks/, aliyun/, handlers/local) writes these names into pods and functions; rooms read them back through
`GatewaySettings`, `PodSettings` and `FunctionSettings`. A missing or malformed value stops the start with the variable's
name and the remedy. No secret is ever a setting: settings say where secrets are, `handlers.clouds` fetches them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

REGIONS = ("global", "china")
CLOUDS = ("aws", "aliyun", "local")
ENVIRONMENTS = ("production", "staging", "small", "local")
SECRETS_REFRESH_S = 300
"""Rotation waits three times as long before it relies on a new version being known (operations/renewal.py)."""
EDGE_HEADERS = {"global": "cloudfront-viewer-address", "china": "x-therouter-client"}
"""Region -> the header in which its edge says where a client is: CloudFront as address:port, our rule at ESA as the address."""


class Variable(StrEnum):
    """The names, with what they mean."""

    REGION = "THEROUTER_REGION"
    """global | china: fixed at deployment."""
    CLOUD = "THEROUTER_CLOUD"
    """aws | aliyun | local: whose identity and secret store this process uses."""
    ENVIRONMENT = "THEROUTER_ENVIRONMENT"
    """production | staging | small | local: part of every secret's name and of every key."""
    LOG_LEVEL = "THEROUTER_LOG_LEVEL"
    """debug | info | warning | error."""
    LISTEN = "THEROUTER_LISTEN"
    """host:port or unix:/path that this process serves."""
    OPERATOR_LISTEN = "THEROUTER_OPERATOR_LISTEN"
    """host:port for health and metrics, reachable from inside only; empty for none."""
    PROVIDERS = "THEROUTER_PROVIDERS"
    """Slugs of the enabled providers, separated by commas."""
    WIRE = "THEROUTER_WIRE"
    """Address of a provider's pod with `{provider}` in it: host:port or unix:/path."""
    SPOOL = "THEROUTER_SPOOL"
    """Folder for usage lines that are not settled yet; survives the process."""
    MODELS = "THEROUTER_MODELS"
    """File with models found at run time (Ollama, vLLM, llama.cpp); empty for none."""
    PROVIDER = "THEROUTER_PROVIDER"
    """Slug of the one provider that a pod serves."""
    BASE_URL = "THEROUTER_BASE_URL"
    """Overrides the catalogue's address of the pod's provider; loopback only unless it is a self-hosted provider."""
    SECRETS = "THEROUTER_SECRETS"
    """Folder of 0600 secret files when the cloud is `local`; empty otherwise."""
    SECRETS_REFRESH = "THEROUTER_SECRETS_REFRESH"
    """Seconds after which a process reads its secrets again, so that a rotation needs no restart; 300 when unset."""
    DATABASE_HOST = "THEROUTER_DATABASE_HOST"
    """Host name, or a folder that holds a Unix socket."""
    DATABASE_PORT = "THEROUTER_DATABASE_PORT"
    DATABASE_NAME = "THEROUTER_DATABASE_NAME"
    DATABASE_ROLE = "THEROUTER_DATABASE_ROLE"
    """The one database role of this room."""
    DATABASE_CA = "THEROUTER_DATABASE_CA"
    """File with the authorities that sign the database's certificate; empty only when the cloud is `local`."""
    DIARY = "THEROUTER_DIARY"
    """File of outcomes of operations on one machine, beside the database and not in it; in the clouds their log is that."""
    DATABASE_DOOR = "THEROUTER_DATABASE_DOOR"
    """Host where a room that the database does not admit itself connects instead; the certificate is still the database's."""
    PUBLIC_URL = "THEROUTER_PUBLIC_URL"
    """What clients type: scheme and host."""
    ARCHIVE = "THEROUTER_ARCHIVE"
    """Bucket whose objects nobody can change or remove for years, or on one machine a folder: copies of audit checkpoints."""
    ISSUER = "THEROUTER_ISSUER"
    """Address of the OpenID Connect provider whose people may sign in; empty: keys alone."""
    ISSUER_CLIENT = "THEROUTER_ISSUER_CLIENT"
    """Our client id at the issuer."""
    SCANNING_KEYS = "THEROUTER_SCANNING_KEYS"
    """Where the public keys of secret scanning are; empty: nobody tells us of keys in public."""
    MAIL = "THEROUTER_MAIL"
    """The sender's address of notices, or on one machine a folder for them; empty: no mail."""
    ISSUER_GROUPS = "THEROUTER_ISSUER_GROUPS"
    """Its groups and our roles, as in `engineers=member,finance=billing`; empty: roles are set here."""
    ISSUER_HOSTS = "THEROUTER_ISSUER_HOSTS"
    """Further hosts on which the issuer has its keys and hands out tokens, separated by commas; empty: its own alone."""


class SettingError(ValueError):
    """A setting is missing or malformed; the message names the variable and the remedy."""


def _read(environment: Mapping[str, str], name: Variable, default: str | None = None) -> str:
    value = environment.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise SettingError(f"{name} is not set: give it a value in the environment of this process")
    return default


def _choice(
    environment: Mapping[str, str], name: Variable, allowed: tuple[str, ...], default: str | None = None
) -> str:
    value = _read(environment, name, default)
    if value not in allowed:
        raise SettingError(f"{name} must be one of {', '.join(allowed)}")
    return value


def _port(environment: Mapping[str, str], name: Variable, default: int) -> int:
    value = _read(environment, name, str(default))
    if not value.isdecimal() or not 0 < int(value) < 65_536:
        raise SettingError(f"{name} must be a port number from 1 to 65535")
    return int(value)


def _seconds(environment: Mapping[str, str], name: Variable, default: int) -> int:
    value = _read(environment, name, str(default))
    if not value.isdecimal() or not 0 < int(value) <= 86_400:
        raise SettingError(f"{name} must be a number of seconds from 1 to 86400")
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where this process runs; part of every room's settings."""

    region: str
    cloud: str
    environment: str
    log_level: str
    secrets: str
    secrets_refresh_s: int = SECRETS_REFRESH_S
    """How long a rotated secret may stay unknown to a process."""

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that every room has."""
        cloud = _choice(environment, Variable.CLOUD, CLOUDS, "local")
        region = _choice(environment, Variable.REGION, REGIONS, "global")
        if (cloud, region) in {("aws", "china"), ("aliyun", "global")}:
            raise SettingError(f"{Variable.REGION}={region} never runs on {Variable.CLOUD}={cloud}")
        return cls(
            region=region,
            cloud=cloud,
            environment=_choice(environment, Variable.ENVIRONMENT, ENVIRONMENTS, "local"),
            log_level=_choice(environment, Variable.LOG_LEVEL, ("debug", "info", "warning", "error"), "info"),
            secrets=_read(environment, Variable.SECRETS, ""),
            secrets_refresh_s=_seconds(environment, Variable.SECRETS_REFRESH, SECRETS_REFRESH_S),
        )


DATABASE_DOMAINS = {"aws": (".us-east-2.rds.amazonaws.com",), "aliyun": (".rds.aliyuncs.com",)}
"""Where a cloud's databases are named; on one machine any host will do."""
DOOR_DOMAINS = {
    "aws": (".elb.us-east-2.amazonaws.com",),
    "aliyun": (".cn-hangzhou.nlb.aliyuncsslb.com", ".cn-hangzhou.nlb.aliyuncs.com"),
}
"""Where the doors to them are named."""


def _own_host(
    environment: Mapping[str, str], deployment: Deployment, variable: Variable, domains: Mapping[str, tuple[str, ...]]
) -> str:
    """A host of this region; empty if the variable is not set and may be left out."""
    host = _read(environment, variable, "" if variable is Variable.DATABASE_DOOR else None)
    own = domains.get(deployment.cloud, ("",))
    if host and not host.endswith(own):
        raise SettingError(
            f"{variable} must end in {' or '.join(own)}: the {deployment.region} region reaches its own database "
            "and no other (region_restricted)"
        )
    return host


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """How one room reaches PostgreSQL. The password is a secret named after the role."""

    host: str
    port: int
    name: str
    role: str
    authorities: str
    door: str = ""
    """Host to connect to in the database's place; empty: the database admits this room itself."""

    @classmethod
    def parse(cls, environment: Mapping[str, str], deployment: Deployment) -> Self:
        """Read the database variables; outside one machine TLS authorities are required."""
        authorities = _read(environment, Variable.DATABASE_CA, "")
        if not authorities and deployment.cloud != "local":
            raise SettingError(f"{Variable.DATABASE_CA} is not set: the database is only reached over verified TLS")
        return cls(
            host=_own_host(environment, deployment, Variable.DATABASE_HOST, DATABASE_DOMAINS),
            port=_port(environment, Variable.DATABASE_PORT, 5432),
            name=_read(environment, Variable.DATABASE_NAME, "therouter"),
            role=_read(environment, Variable.DATABASE_ROLE),
            authorities=authorities,
            door=_own_host(environment, deployment, Variable.DATABASE_DOOR, DOOR_DOMAINS),
        )


_POD_ADDRESS = re.compile(r"unix:/[^:]+|[a-z0-9{}.-]+\.svc\.cluster\.local:[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The gateway room."""

    deployment: Deployment
    database: DatabaseSettings
    listen: str
    operator_listen: str
    providers: tuple[str, ...]
    wire: str
    spool: str
    models: str

    @classmethod
    def parse(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the gateway's variables, or raise SettingError."""
        deployment = Deployment.parse(environment)
        wire = _read(environment, Variable.WIRE)
        if "{provider}" not in wire:
            raise SettingError(
                f"{Variable.WIRE} must contain {{provider}}, as in unix:/run/therouter/{{provider}}.sock"
            )
        if deployment.cloud != "local" and not _POD_ADDRESS.fullmatch(wire):
            raise SettingError(
                f"{Variable.WIRE} must be a socket or an address of this cluster: the {deployment.region} region reaches "
                "its own pods and no others (region_restricted)"
            )
        return cls(
            deployment=deployment,
            database=DatabaseSettings.parse(environment, deployment),
            listen=_read(environment, Variable.LISTEN),
            operator_listen=_read(environment, Variable.OPERATOR_LISTEN, ""),
            providers=tuple(p.strip() for p in _read(environment, Variable.PROVIDERS).split(",") if p.strip()),
            wire=wire,
            spool=_read(environment, Variable.SPOOL),
            models=_read(environment, Variable.MODELS, ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """One provider room."""

    deployment: Deployment
    provider: str
    listen: str
    base_url: str
    models: str

    @classmethod
    def parse(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read a provider pod's variables, or raise SettingError."""
        return cls(
            deployment=Deployment.parse(environment),
            provider=_read(environment, Variable.PROVIDER),
            listen=_read(environment, Variable.LISTEN),
            base_url=_read(environment, Variable.BASE_URL, ""),
            models=_read(environment, Variable.MODELS, ""),
        )


_HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,63}")
_GROUPS = re.compile(r"([^=,\s]+=(owner|admin|billing|member|viewer|auditor))(,[^=,\s]+=[a-z]+)*")
ISSUER_CLIENT = "therouter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Who vouches for people, and who tells us of keys in public; each may be nobody.

    Part of the admin room's settings and of a deployment's: `variables` writes what `parse` reads.
    """

    issuer: str = ""
    issuer_client: str = ISSUER_CLIENT
    issuer_groups: str = ""
    issuer_hosts: str = ""
    scanning_keys: str = ""

    @classmethod
    def parse(cls, environment: Mapping[str, str], deployment: Deployment) -> Self:
        """Read them, or raise SettingError: in a cloud addresses are https."""
        doors = cls(
            issuer=_read(environment, Variable.ISSUER, ""),
            issuer_client=_read(environment, Variable.ISSUER_CLIENT, ISSUER_CLIENT),
            issuer_groups=_read(environment, Variable.ISSUER_GROUPS, ""),
            issuer_hosts=_read(environment, Variable.ISSUER_HOSTS, ""),
            scanning_keys=_read(environment, Variable.SCANNING_KEYS, ""),
        )
        return doors if deployment.cloud == "local" else doors.checked()

    def checked(self) -> Self:
        """These, if a cloud may have them; SettingError names the one that it may not."""
        for variable, address in ((Variable.ISSUER, self.issuer), (Variable.SCANNING_KEYS, self.scanning_keys)):
            if address and not _is_public(address):
                raise SettingError(
                    f"{variable} of a cloud is an https address; the development issuer is for one machine alone"
                )
        if self.issuer_groups and not _GROUPS.fullmatch(self.issuer_groups):
            raise SettingError(f"{Variable.ISSUER_GROUPS} is group=role, separated by commas, as in finance=billing")
        if any(not _HOST.fullmatch(host) for host in self.issuer_hosts.split(",") if host):
            raise SettingError(f"{Variable.ISSUER_HOSTS} are names of hosts, separated by commas")
        return self

    @property
    def groups(self) -> dict[str, str]:
        """Group at the issuer -> our role."""
        pairs = [pair.partition("=") for pair in self.issuer_groups.split(",") if pair]
        return {group.strip(): role.strip() for group, _, role in pairs}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the admin room calls because of them, on port 443."""
        addresses = [urlsplit(address).hostname for address in (self.issuer, self.scanning_keys) if address]
        return tuple(dict.fromkeys(host for host in (*addresses, *self.issuer_hosts.split(",")) if host))

    def variables(self) -> dict[Variable, str]:
        """What tells a process of them."""
        return {
            Variable.ISSUER: self.issuer,
            Variable.ISSUER_CLIENT: self.issuer_client,
            Variable.ISSUER_GROUPS: self.issuer_groups,
            Variable.ISSUER_HOSTS: self.issuer_hosts,
            Variable.SCANNING_KEYS: self.scanning_keys,
        }


NO_DOORS = Doors()


def _is_public(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.port in {None, 443} and bool(_HOST.fullmatch(parts.hostname or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """A Lambda-style function: admin, payments, operations or site."""

    deployment: Deployment
    database: DatabaseSettings
    public_url: str

    @classmethod
    def parse(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read a function's variables, or raise SettingError."""
        deployment = Deployment.parse(environment)
        return cls(
            deployment=deployment,
            database=DatabaseSettings.parse(environment, deployment),
            public_url=_read(environment, Variable.PUBLIC_URL, ""),
        )
