"""What runs: each pod and each function, with its port, its variables, its secrets and the hosts it may reach.

stacks/, aliyun/ and handlers/local build identities, network rules and process environments from these rows, so a room gets
exactly what stands here. A variable, a secret or a host that is not in a row does not reach the room.

Secrets
    A secret's short name is `<kind>/<subject>`; in a store it is `therouter/<environment>/<short name>`.

        keys/mint               HMAC key of the mint tag in our API keys         gateway and payments check it, admin mints with it
        wire/<provider>         key of the tokens on the internal wire           gateway and that provider's pod
        provider/<provider>     our shared credential at the provider            that provider's pod alone
        seal/<provider>         private half of the provider's sealing key       that provider's pod alone
        seal/public             public halves of all sealing keys                admin
        database/<role>         password of one database role                    the one room with that role; migrate; founder: none
        database/owner          the master user's (china; AWS keeps its own)     migrate
        audit/checkpoint        signing key of audit checkpoints                 checkpoint, purge receipts
        audit/digest            HMAC keys of secrets' digests in the audit log   admin; renewal adds to them
        restore/epoch           number of the last restore                       restore; who waits for its end: gateway, admin, payments,
                                                                                 purge, spending
        payments/<company>      credentials of the payment company               payments alone

    `renewal` puts new versions of keys/mint, wire/*, seal/*, database/* and audit/* (`RENEWED_KINDS`); of their values it reads
    three, which are in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit
from zlib import crc32

from handlers.catalog.entries import Provider
from handlers.settings import NO_DOORS, Doors, Variable

SECRET_ROOT = "therouter"  # noqa: S105 - the first part of names, not a secret
GATEWAY_PORT = 8080
OPERATOR_PORT = 9090
"""Health and metrics; never behind the load balancer's public listener."""
WIRE_PORT = 8080
DATABASE_PORT = 5432
RELAY_PORT_FIRST = 10_000
RELAY_SLOTS = 19_997
"""The relay listens on one port for each host; ports and addresses follow from the host's name alone, so that adding a
provider moves no other."""


class Kind(StrEnum):
    """How a workload runs."""

    POD = "pod"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One deployable: one identity, one set of secrets, one database role."""

    name: str
    """Name of the identity, the Deployment or the function; unique."""
    room: str
    kind: Kind
    entry: str
    """Pods: the module that `python -m` runs. Functions: `module.handler`."""
    port: int = 0
    """Where a pod serves; 0 for functions."""
    variables: tuple[Variable, ...] = ()
    secrets: tuple[str, ...] = ()
    """Short names of the secrets that it may read, and no others."""
    database_role: str = ""
    """Empty: it has no way to the database."""
    provider: str = ""
    hosts: tuple[str, ...] = ()
    """Hosts outside that it may reach on port 443, beside the secret store."""
    routes: tuple[str, ...] = ()
    """Path patterns that the load balancer sends here."""


_DEPLOYMENT = (Variable.REGION, Variable.CLOUD, Variable.ENVIRONMENT, Variable.LOG_LEVEL)
_DATABASE = (
    Variable.DATABASE_HOST,
    Variable.DATABASE_PORT,
    Variable.DATABASE_NAME,
    Variable.DATABASE_ROLE,
    Variable.DATABASE_CA,
)
_DATABASE_BY_DOOR = (*_DATABASE, Variable.DATABASE_DOOR)
_GATEWAY = (
    Variable.LISTEN,
    Variable.OPERATOR_LISTEN,
    Variable.PROVIDERS,
    Variable.WIRE,
    Variable.SPOOL,
    Variable.PUBLIC_URL,
)
RENEWED_KINDS = frozenset({"keys", "wire", "seal", "database", "audit"})
"""Kinds of secrets of which `renewal` puts new versions."""
DATABASE_ROLES = ("gateway", "admin", "payments", "operations", "rotation")
MASTER_USER = "therouter_master"
"""Migrates, and is nobody else: therouter_owner, which owns everything, never logs in."""
PAYMENT_COMPANIES = {"global": ("stripe", "api.stripe.com"), "china": ("wechat", "api.mch.weixin.qq.com")}
IDENTITY_HOSTS = {
    "global": ("secretsmanager.us-east-2.amazonaws.com",),
    "china": ("kms.cn-hangzhou.aliyuncs.com", "sts.cn-hangzhou.aliyuncs.com"),
}
"""Where a room fetches its identity's secrets; every pod reaches these and, but for its own provider, nothing else."""
MAIL_HOSTS = {"global": "email.us-east-2.amazonaws.com", "china": "dm.aliyuncs.com"}
"""Where notices are handed over: SES, and DirectMail's endpoint in Hangzhou, which has the short name."""


def archive_name(environment: str, account: str) -> str:
    """The bucket that copies of audit checkpoints are locked in; named beforehand, because its room's role names it."""
    return f"{SECRET_ROOT}-{environment}-audit-{account}"


def store_name(environment: str, secret: str) -> str:
    """The name of a secret in a secret store: `therouter/production/provider/openai`."""
    return f"{SECRET_ROOT}/{environment}/{secret}"


def host_of(provider: Provider) -> str:
    """The one host that the provider's pod calls; ValueError if its address is not https with a plain host."""
    parts = urlsplit(provider.base_url)
    if parts.scheme != "https" or not parts.hostname or "{" in parts.netloc or parts.port not in {None, 443}:
        raise ValueError(
            f"provider {provider.slug}: base_url must be https with a fixed host and port 443 to run in a cloud; "
            f"fill its placeholders from settings or leave the provider out"
        )
    return parts.hostname


def deployable(providers: Mapping[str, Provider]) -> tuple[Provider, ...]:
    """The providers that can have a pod in a cloud, by name.

    Those of this machine (country `--`) cannot, and those whose address has a placeholder need a fixed one first.
    """
    rows = (providers[slug] for slug in sorted(providers))
    return tuple(row for row in rows if row.country != "--" and "{" not in row.base_url)


def relay_slot(host: str) -> int:
    """The place of a host among the relay's ports and addresses: a number below `RELAY_SLOTS`."""
    return crc32(host.encode()) % RELAY_SLOTS


def gateway(providers: Iterable[Provider]) -> Workload:
    """The gateway room: it reads the mint key, the wire keys and its database password, and reaches nothing outside."""
    return Workload(
        name="gateway",
        room="gateway",
        kind=Kind.POD,
        entry="handlers.gateway",
        port=GATEWAY_PORT,
        variables=(*_DEPLOYMENT, *_DATABASE, *_GATEWAY),
        secrets=(
            "keys/mint",
            "database/gateway",
            "restore/epoch",
            *(f"wire/{provider.slug}" for provider in providers),
        ),
        database_role="gateway",
        routes=("/v1/*", "/v1beta/*", "/healthz", "/readyz"),
    )


def provider_pod(provider: Provider) -> Workload:
    """The room of one provider: its secrets, its host, and nothing else."""
    return Workload(
        name=f"provider-{provider.slug}",
        room="provider",
        kind=Kind.POD,
        entry="handlers.provider",
        port=WIRE_PORT,
        variables=(*_DEPLOYMENT, Variable.PROVIDER, Variable.LISTEN),
        secrets=(f"provider/{provider.slug}", f"seal/{provider.slug}", f"wire/{provider.slug}"),
        provider=provider.slug,
        hosts=(host_of(provider),),
    )


def _function(
    room: str,
    module: str,
    *,
    role: str = "",
    secrets: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    routes: tuple[str, ...] = (),
    folder: str = "",
    mail: str = "",
    variables: Iterable[Variable] = (),
) -> Workload:
    name = module if room == "operations" else room
    return Workload(
        name=name.replace("_", "-"),
        room=room,
        kind=Kind.FUNCTION,
        entry=f"handlers.{room}.{folder}{module}.handler",
        variables=(
            *_DEPLOYMENT,
            *(_DATABASE_BY_DOOR if role else ()),
            Variable.PUBLIC_URL,
            *((Variable.MAIL,) if mail else ()),
            *variables,
        ),
        secrets=(*secrets, *((f"database/{role}",) if role else ())),
        database_role=role,
        hosts=(*hosts, *((mail,) if mail else ())),
        routes=routes,
    )


def migrate(region: str) -> Workload:
    """Called at deployments alone: it signs in as the master user, applies migrations and sets the roles' passwords."""
    owner = ("database/owner",) if region == "china" else ()
    return Workload(
        name="migrate",
        room="operations",
        kind=Kind.FUNCTION,
        entry=f"handlers.operations.{'hangzhou.' if region == 'china' else ''}migrate.handler",
        variables=(*_DEPLOYMENT, *_DATABASE_BY_DOOR, Variable.PUBLIC_URL),
        secrets=(*(f"database/{role}" for role in DATABASE_ROLES), *owner),
        database_role=MASTER_USER,
    )


def functions(region: str, doors: Doors = NO_DOORS) -> tuple[Workload, ...]:
    """The Lambda-style rooms of a region. Those of operations run on schedules and events; the others behind the ALB."""
    company, company_host = PAYMENT_COMPANIES[region]
    return (
        _function(
            "admin",
            "function",
            role="admin",
            secrets=("keys/mint", "seal/public", "audit/digest", "restore/epoch"),
            hosts=doors.hosts,
            routes=("/admin/*",),
            mail=MAIL_HOSTS[region],
            variables=doors.variables(),
        ),
        _function(
            "payments",
            "function",
            role="payments",
            secrets=("keys/mint", "restore/epoch", f"payments/{company}"),
            hosts=(company_host,),
            routes=("/payments/*",),
        ),
        _function("site", "function", routes=("/*",)),
        _function("operations", "purge", role="operations", secrets=("audit/checkpoint", "restore/epoch")),
        _function("operations", "reap", role="operations"),
        _function("operations", "spending", role="operations", secrets=("restore/epoch",), mail=MAIL_HOSTS[region]),
        _function("operations", "reconcile", role="operations"),
        _function(
            "operations",
            "checkpoint",
            role="operations",
            secrets=("audit/checkpoint",),
            variables=(Variable.ARCHIVE,),
        ),
        _function("operations", "restore", role="operations", secrets=("audit/checkpoint", "restore/epoch")),
        _function("operations", "renewal", role="rotation", secrets=("keys/mint", "seal/public", "audit/digest")),
        # What these ask is the cloud itself, so each region has its own.
        *(
            _function("operations", module, folder="hangzhou." if region == "china" else "")
            for module in ("rotation", "snapshot_check", "alarms", "watchdog")
        ),
        migrate(region),
    )


def relay(hosts: Iterable[str]) -> Workload:
    """The only way out of the cluster: one port for each host, bytes passed through; no secret, no database, no TLS key."""
    names = tuple(sorted(set(hosts)))
    if len({relay_slot(host) for host in names}) != len(names):
        raise ValueError(
            "two hosts share a place at the relay: change RELAY_SLOTS to another prime and redeploy all pods"
        )
    return Workload(name="relay", room="relay", kind=Kind.POD, entry="handlers.relay", hosts=names)


def door() -> Workload:
    """The functions' only way to the database, which admits the gateway's pool and nobody else: bytes passed through."""
    return Workload(name="database-door", room="door", kind=Kind.POD, entry="handlers.relay", port=DATABASE_PORT)


def workloads(region: str, providers: Mapping[str, Provider], doors: Doors = NO_DOORS) -> tuple[Workload, ...]:
    """Everything that runs in a region, gateway first. `providers` are the enabled rows of the region's catalogue."""
    enabled = deployable(providers)
    pods = tuple(provider_pod(provider) for provider in enabled)
    hosts = (*IDENTITY_HOSTS[region], *(host for pod in pods for host in pod.hosts))
    return (gateway(enabled), *pods, relay(hosts), door(), *functions(region, doors))


def renewed_secrets(region: str, providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """The short names of the secrets that `renewal` may replace."""
    return tuple(name for name in secrets(region, providers) if name.partition("/")[0] in RENEWED_KINDS)


def secrets(region: str, providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """The short names of all secrets of a region, sorted."""
    return tuple(sorted({secret for workload in workloads(region, providers) for secret in workload.secrets}))
