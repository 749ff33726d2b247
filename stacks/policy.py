"""Every number that the trust page promises, with its unit, its sentence and its claim. Knows no cloud.

Rules
    Both clouds are built from this table and from nothing else, so a number has one home. Units end the names.
    `staging` and `small` are written as differences from `production`: what is not written there is the same.
    Each number is checked against what both clouds accept (`LIMITS`) and against its neighbours (`RELATIONS`) before
    anything is built; a refusal names the field and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, NamedTuple, get_type_hints


class PolicyError(ValueError):
    """A number is outside what the clouds accept or contradicts another; the message names the field and the remedy."""


class Promise(NamedTuple):
    """Why a number stands in the table."""

    claim: str
    """Trust-page claim, or `operation` where the number is ours alone."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Every number that a reviewer, an auditor or an engineer on call may ask for."""

    # What is kept, and how long
    edge_log_retention_days: Annotated[int, Promise("C27", "Edge access logs are gone after 7 days.")]
    edge_log_fields: Annotated[
        tuple[str, ...], Promise("C26", "An edge access log line holds date, time, client address and status.")
    ]
    metadata_retention_days_default: Annotated[int, Promise("C9", "Request metadata is stored for 90 days.")]
    metadata_retention_days_min: Annotated[int, Promise("C11", "Retention is configurable from 1 day.")]
    metadata_retention_days_max: Annotated[int, Promise("C11", "Retention is configurable to 730 days.")]
    function_log_retention_days: Annotated[
        int, Promise("C32", "Functions and pods log closed-schema lines, kept 30 days.")
    ]
    cluster_log_retention_days: Annotated[int, Promise("C61", "Infrastructure actions stay on record for a year.")]
    flow_log_retention_days: Annotated[int, Promise("C57", "Refused network connections stay on record for 30 days.")]

    # Schedules
    purge_interval_minutes: Annotated[int, Promise("C10", "Expired metadata is purged every hour.")]
    reap_interval_minutes: Annotated[int, Promise("C66", "Money held by a lost request is released every 5 minutes.")]
    checkpoint_interval_minutes: Annotated[
        int, Promise("C60", "The audit log is sealed by a signed checkpoint each 5 minutes.")
    ]
    rebuild_interval_hours: Annotated[
        int, Promise("C60", "Every night the whole audit log is checked again, from its first row.")
    ]
    audit_retention_days: Annotated[int, Promise("C60", "Rows of the audit log are kept for two years.")]
    checkpoint_lock_days: Annotated[
        int, Promise("C60", "A copy of each checkpoint is kept where nobody can change or delete it for two years.")
    ]
    spending_interval_minutes: Annotated[
        int, Promise("operation", "Budgets that run out and unusual spending are noticed within 5 minutes.")
    ]
    reconcile_interval_hours: Annotated[int, Promise("C12", "Every sum of money is compared with its parts every day.")]
    snapshot_check_interval_hours: Annotated[
        int, Promise("C65", "Backups are checked for age and encryption every day.")
    ]
    rotation_check_interval_hours: Annotated[int, Promise("C63", "The age of every secret is checked every day.")]
    secret_age_days_max: Annotated[int, Promise("C63", "A secret older than 90 days raises an alarm.")]
    renewal_interval_minutes: Annotated[int, Promise("C63", "The rotation of secrets takes its next step every hour.")]
    secret_rotation_days: Annotated[int, Promise("C16", "Our own keys and passwords are replaced every 60 days.")]
    secret_settle_s: Annotated[
        int, Promise("operation", "A new version of a secret is relied on after 15 minutes: everybody has read it.")
    ]
    secret_retire_s: Annotated[
        int, Promise("operation", "An old version of a secret is taken away a day after the new one is in use.")
    ]

    # Database
    backup_retention_days: Annotated[int, Promise("C65", "Backups are kept for 14 days, with point-in-time recovery.")]
    database_standby: Annotated[bool, Promise("C68", "The database has a synchronous standby in another zone.")]
    database_deletion_protected: Annotated[bool, Promise("C66", "The database cannot be deleted by a deployment.")]
    database_storage_gb: Annotated[int, Promise("operation", "The database starts with 100 GB.")]
    database_storage_gb_max: Annotated[int, Promise("operation", "The database grows by itself to 2 TB.")]
    database_statement_timeout_ms: Annotated[
        int, Promise("operation", "No statement holds the database for over 30 s.")
    ]

    # Keys
    key_rotation_days: Annotated[int, Promise("C63", "Encryption keys rotate every year.")]
    key_deletion_wait_days: Annotated[int, Promise("C63", "A deleted encryption key can be brought back for 30 days.")]

    # Recovery
    health_check_interval_s: Annotated[int, Promise("C72", "The public address is probed every 30 seconds.")]
    health_check_failures: Annotated[int, Promise("C72", "Three probes in a row must fail before we act.")]
    reboot_cooldown_minutes: Annotated[int, Promise("C72", "At most one node is rebooted in 30 minutes.")]
    watchdog_interval_minutes: Annotated[
        int, Promise("C72", "While the address stays down we look again every 5 minutes.")
    ]
    alarm_reconcile_minutes: Annotated[int, Promise("C70", "Every hour each node is checked to have its alarms.")]
    status_check_period_s: Annotated[int, Promise("C70", "A node's status checks are read every minute.")]
    recover_after_failures: Annotated[int, Promise("C70", "Two failed system checks move the node to other hardware.")]
    restart_after_failures: Annotated[int, Promise("C70", "Three failed instance checks restart the node.")]
    certificate_expiry_alarm_days: Annotated[
        tuple[int, ...], Promise("C44", "An alarm sounds 30, 14 and 7 days before a certificate ends.")
    ]

    # The path of a request
    tls_version_min: Annotated[str, Promise("C41", "TLS 1.2 is the oldest version that the edge accepts.")]
    edge_response_gap_s: Annotated[int, Promise("C67", "The edge waits 120 s for the first and for each next byte.")]
    edge_keepalive_s: Annotated[int, Promise("operation", "The edge keeps its origin connections for 60 s.")]
    ingress_idle_s: Annotated[int, Promise("operation", "The load balancer keeps a silent connection for 300 s.")]
    edge_retry_after_s: Annotated[int, Promise("C67", "A 503 from the edge asks to come back after 15 s.")]
    edge_rate_window_s: Annotated[int, Promise("C40", "Requests are counted over a minute.")]
    edge_requests_per_key_max: Annotated[int, Promise("C40", "One key may send 30,000 requests in the window.")]
    edge_requests_per_address_max: Annotated[int, Promise("C40", "One address may send 60,000 requests in the window.")]
    edge_body_bytes_max: Annotated[int, Promise("C40", "The edge turns bodies of 100 MB and more away.")]

    # Pods
    request_duration_s_max: Annotated[int, Promise("C67", "A deployment lets a stream run on for 10 minutes.")]
    drain_delay_s: Annotated[int, Promise("C67", "A leaving pod serves for 15 s while the load balancer forgets it.")]
    termination_grace_s: Annotated[int, Promise("C67", "A leaving pod is given 645 s to finish and to book.")]
    availability_zones: Annotated[int, Promise("C68", "Everything that serves spans three zones.")]
    nat_gateways: Annotated[int, Promise("operation", "Each zone has its own way out.")]
    gateway_replicas_min: Annotated[int, Promise("operation", "At least three gateway pods.")]
    gateway_replicas_max: Annotated[int, Promise("operation", "At most 24 gateway pods.")]
    provider_replicas_min: Annotated[int, Promise("C34", "Each provider has at least two pods of its own.")]
    provider_replicas_max: Annotated[int, Promise("operation", "At most 12 pods for a provider.")]
    scale_at_cpu_percent: Annotated[
        int, Promise("operation", "Pods are added at 60 % of the requested processor time.")
    ]
    scale_down_wait_s: Annotated[int, Promise("operation", "Pods are taken away after 10 quiet minutes.")]
    gateway_nodes_min: Annotated[int, Promise("operation", "At least two nodes for gateway pods.")]
    gateway_nodes_max: Annotated[int, Promise("operation", "At most twelve nodes for gateway pods.")]
    provider_nodes_min: Annotated[
        int, Promise("C35", "At least two nodes for provider pods, apart from the gateway's.")
    ]
    provider_nodes_max: Annotated[int, Promise("operation", "At most twelve nodes for provider pods.")]


PRODUCTION = Policy(
    edge_log_retention_days=7,
    edge_log_fields=("date", "time", "c-ip", "sc-status"),
    metadata_retention_days_default=90,
    metadata_retention_days_min=1,
    metadata_retention_days_max=730,
    function_log_retention_days=30,
    cluster_log_retention_days=365,
    flow_log_retention_days=30,
    purge_interval_minutes=60,
    reap_interval_minutes=5,
    checkpoint_interval_minutes=5,
    rebuild_interval_hours=24,
    audit_retention_days=730,
    checkpoint_lock_days=730,
    spending_interval_minutes=5,
    reconcile_interval_hours=24,
    snapshot_check_interval_hours=24,
    rotation_check_interval_hours=24,
    secret_age_days_max=90,
    renewal_interval_minutes=60,
    secret_rotation_days=60,
    secret_settle_s=900,
    secret_retire_s=86_400,
    backup_retention_days=14,
    database_standby=True,
    database_deletion_protected=True,
    database_storage_gb=100,
    database_storage_gb_max=2_000,
    database_statement_timeout_ms=30_000,
    key_rotation_days=365,
    key_deletion_wait_days=30,
    health_check_interval_s=30,
    health_check_failures=3,
    reboot_cooldown_minutes=30,
    watchdog_interval_minutes=5,
    alarm_reconcile_minutes=60,
    status_check_period_s=60,
    recover_after_failures=2,
    restart_after_failures=3,
    certificate_expiry_alarm_days=(30, 14, 7),
    tls_version_min="1.2",
    edge_response_gap_s=120,
    edge_keepalive_s=60,
    ingress_idle_s=300,
    edge_retry_after_s=15,
    edge_rate_window_s=60,
    edge_requests_per_key_max=30_000,
    edge_requests_per_address_max=60_000,
    edge_body_bytes_max=99_999_999,
    request_duration_s_max=600,
    drain_delay_s=15,
    termination_grace_s=645,
    availability_zones=3,
    nat_gateways=3,
    gateway_replicas_min=3,
    gateway_replicas_max=24,
    provider_replicas_min=2,
    provider_replicas_max=12,
    scale_at_cpu_percent=60,
    scale_down_wait_s=600,
    gateway_nodes_min=2,
    gateway_nodes_max=12,
    provider_nodes_min=2,
    provider_nodes_max=12,
)
STAGING = replace(
    PRODUCTION,
    database_deletion_protected=False,
    database_storage_gb_max=200,
    nat_gateways=1,
    gateway_replicas_min=2,
    gateway_replicas_max=4,
    provider_replicas_max=2,
    gateway_nodes_max=4,
    provider_nodes_max=4,
)
SMALL = replace(
    PRODUCTION,
    database_standby=False,
    database_storage_gb=20,
    database_storage_gb_max=200,
    nat_gateways=1,
    gateway_replicas_min=1,
    gateway_replicas_max=4,
    provider_replicas_min=1,
    provider_replicas_max=4,
    gateway_nodes_min=1,
    gateway_nodes_max=2,
    provider_nodes_min=1,
    provider_nodes_max=2,
)
STAGES: dict[str, Policy] = {"production": PRODUCTION, "staging": STAGING, "small": SMALL}

LOG_RETENTION_DAYS = frozenset({1, 3, 5, 7, 14, 30, 60, 90, 180, 365})
"""What CloudWatch Logs accepts up to a year; Simple Log Service takes any number of days up to 3,650."""


class Limit(NamedTuple):
    """What both clouds accept for one number."""

    field: str
    allowed: Callable[[object], bool]
    remedy: str


def _between(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and low <= value <= high


def _one_of(*values: object) -> Callable[[object], bool]:
    return lambda value: value in values


def _log_days(field: str) -> Limit:
    return Limit(
        field, _one_of(*LOG_RETENTION_DAYS), "CloudWatch Logs keeps logs 1, 3, 5, 7, 14, 30, 60, 90, 180 or 365 days"
    )


LIMITS: tuple[Limit, ...] = (
    Limit("edge_log_retention_days", _between(3, 7), "promised are at most 7 days; storage rounds up, so at least 3"),
    Limit("metadata_retention_days_min", _between(1, 730), "1 to 730 days are promised"),
    Limit("metadata_retention_days_max", _between(1, 730), "1 to 730 days are promised"),
    _log_days("function_log_retention_days"),
    _log_days("cluster_log_retention_days"),
    _log_days("flow_log_retention_days"),
    Limit("backup_retention_days", _between(7, 35), "RDS keeps 1 to 35 days, ApsaraDB 7 to 730"),
    Limit("database_storage_gb", _between(20, 6_144), "gp3 and ESSD volumes hold 20 GB to 6 TB"),
    Limit(
        "key_rotation_days", _between(90, 730), "KMS rotates every 90 to 2,560 days, Alibaba Cloud KMS every 7 to 730"
    ),
    Limit("key_deletion_wait_days", _between(7, 30), "KMS waits 7 to 30 days, Alibaba Cloud KMS 7 to 366"),
    Limit("health_check_interval_s", _one_of(10, 30), "Route 53 probes every 10 or every 30 seconds"),
    Limit("health_check_failures", _between(1, 10), "Route 53 counts 1 to 10 failures"),
    Limit("status_check_period_s", _one_of(60), "status checks are published once a minute"),
    Limit("tls_version_min", _one_of("1.2", "1.3"), "older versions are broken"),
    Limit("edge_response_gap_s", _between(30, 180), "CloudFront waits up to 180 s without a quota request"),
    Limit("edge_keepalive_s", _between(1, 60), "CloudFront keeps origin connections up to 60 s"),
    Limit(
        "ingress_idle_s", _between(60, 600), "the load balancers wait 1 to 4,000 s (AWS) and 1 to 600 s (Alibaba Cloud)"
    ),
    Limit("edge_rate_window_s", _one_of(60, 120, 300, 600), "WAF counts over 60, 120, 300 or 600 s"),
    Limit("edge_requests_per_key_max", _between(10, 2_000_000_000), "WAF counts from 10"),
    Limit("edge_requests_per_address_max", _between(10, 2_000_000_000), "WAF counts from 10"),
    Limit(
        "request_duration_s_max", _between(1, 900), "load balancers drain up to 3,600 s (AWS) and 900 s (Alibaba Cloud)"
    ),
    Limit("availability_zones", _between(2, 3), "two or three zones"),
    Limit("scale_at_cpu_percent", _between(10, 90), "leave room on both sides"),
)


class Relation(NamedTuple):
    """What must hold between numbers."""

    field: str
    holds: Callable[[Policy], bool]
    remedy: str


def _ordered(what: str) -> Relation:
    return Relation(
        f"{what}_max",
        lambda policy: 1 <= getattr(policy, f"{what}_min") <= getattr(policy, f"{what}_max"),
        f"choose at least {what}_min, which is at least 1",
    )


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "metadata_retention_days_default",
        lambda p: p.metadata_retention_days_min <= p.metadata_retention_days_default <= p.metadata_retention_days_max,
        "choose a default between metadata_retention_days_min and metadata_retention_days_max",
    ),
    Relation(
        "termination_grace_s",
        lambda p: p.termination_grace_s >= p.drain_delay_s + p.request_duration_s_max + 30,
        "give drain_delay_s + request_duration_s_max + 30 s to book what was used",
    ),
    Relation(
        "ingress_idle_s",
        lambda p: p.ingress_idle_s > p.edge_response_gap_s,
        "the outer hop must give up first: choose more than edge_response_gap_s",
    ),
    Relation(
        "edge_requests_per_address_max",
        lambda p: p.edge_requests_per_address_max >= p.edge_requests_per_key_max,
        "an office shares one address: allow at least edge_requests_per_key_max",
    ),
    Relation(
        "edge_body_bytes_max",
        lambda p: set(str(p.edge_body_bytes_max)) == {"9"},
        "the edge counts the digits of content-length: write nines only",
    ),
    Relation(
        "reboot_cooldown_minutes",
        lambda p: p.reboot_cooldown_minutes * 60 >= 5 * p.health_check_interval_s * p.health_check_failures,
        "a node needs time to come back: five times what it takes to notice an outage",
    ),
    Relation(
        "database_storage_gb_max",
        lambda p: p.database_storage_gb_max * 10 >= p.database_storage_gb * 11,
        "RDS grows storage only when the ceiling is at least 10 % above the start",
    ),
    Relation(
        "nat_gateways",
        lambda p: 1 <= p.nat_gateways <= p.availability_zones,
        "one for each zone, or one for all",
    ),
    *(_ordered(what) for what in ("gateway_replicas", "provider_replicas", "gateway_nodes", "provider_nodes")),
)


def check(policy: Policy) -> Policy:
    """Return the policy, or raise PolicyError with the field at fault and the remedy."""
    for limit in LIMITS:
        value = getattr(policy, limit.field)
        if not limit.allowed(value):
            raise PolicyError(f"policy {limit.field} = {value!r}: {limit.remedy}")
    for relation in RELATIONS:
        if not relation.holds(policy):
            raise PolicyError(f"policy {relation.field} = {getattr(policy, relation.field)!r}: {relation.remedy}")
    return policy


def promises() -> dict[str, Promise]:
    """Field name -> the claim and the sentence behind it."""
    hints = get_type_hints(Policy, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in fields(Policy)}


for _stage in STAGES.values():
    check(_stage)
