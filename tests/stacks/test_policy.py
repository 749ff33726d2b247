from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest

from stacks import policy
from stacks.policy import LIMITS, PRODUCTION, RELATIONS, STAGES, Policy, PolicyError, check, promises


def test_every_number_has_its_claim_and_its_sentence() -> None:
    rows = promises()
    assert set(rows) == {field.name for field in fields(Policy)}
    assert all(row.claim == "operation" or row.claim.startswith("C") for row in rows.values())
    assert all(row.sentence.endswith(".") for row in rows.values())


@pytest.mark.claim("C9", "C11", "C27", "C65", "C69", "C72")
def test_the_numbers_of_the_trust_page() -> None:
    assert PRODUCTION.edge_log_retention_days == 7
    assert PRODUCTION.metadata_retention_days_default == 90
    assert (PRODUCTION.metadata_retention_days_min, PRODUCTION.metadata_retention_days_max) == (1, 730)
    assert PRODUCTION.backup_retention_days == 14
    assert PRODUCTION.reboot_cooldown_minutes == 30


def test_no_stage_weakens_a_promise() -> None:
    promised = {name for name, row in promises().items() if row.claim.startswith("C")}
    sizes = {name for name in promised if name.startswith(("provider_replicas", "provider_nodes"))}
    weaker = {"small": {"database_standby"}, "staging": {"database_deletion_protected"}, "production": set()}
    for stage, table in STAGES.items():
        changed = {name for name in promised - sizes if getattr(table, name) != getattr(PRODUCTION, name)}
        assert changed == weaker[stage]


BAD = {
    "edge_log_retention_days": 8,
    "metadata_retention_days_min": 0,
    "metadata_retention_days_max": 731,
    "function_log_retention_days": 31,
    "cluster_log_retention_days": 366,
    "flow_log_retention_days": 0,
    "backup_retention_days": 36,
    "database_storage_gb": 19,
    "key_rotation_days": 30,
    "key_deletion_wait_days": 31,
    "health_check_interval_s": 20,
    "health_check_failures": 11,
    "status_check_period_s": 10,
    "tls_version_min": "1.1",
    "edge_response_gap_s": 181,
    "edge_keepalive_s": 61,
    "ingress_idle_s": 601,
    "edge_rate_window_s": 90,
    "edge_requests_per_key_max": 9,
    "edge_requests_per_address_max": 2_000_000_001,
    "request_duration_s_max": 901,
    "availability_zones": 1,
    "scale_at_cpu_percent": 95,
}


def test_every_limit_has_a_bad_example() -> None:
    assert {limit.field for limit in LIMITS} == set(BAD)


@pytest.mark.parametrize("field", sorted(BAD))
def test_a_number_that_a_cloud_refuses_is_refused_by_name(field: str) -> None:
    with pytest.raises(PolicyError, match=f"policy {field} = "):
        check(replace(PRODUCTION, **{field: BAD[field]}))  # type: ignore[arg-type]


BROKEN: dict[str, dict[str, object]] = {
    "metadata_retention_days_default": {"metadata_retention_days_default": 731},
    "termination_grace_s": {"termination_grace_s": 600},
    "ingress_idle_s": {"ingress_idle_s": 120},
    "edge_requests_per_address_max": {"edge_requests_per_address_max": 29_999},
    "edge_body_bytes_max": {"edge_body_bytes_max": 100_000_000},
    "reboot_cooldown_minutes": {"reboot_cooldown_minutes": 5},
    "database_storage_gb_max": {"database_storage_gb_max": 105},
    "nat_gateways": {"nat_gateways": 4},
    "gateway_replicas_max": {"gateway_replicas_max": 2},
    "provider_replicas_max": {"provider_replicas_min": 0},
    "gateway_nodes_max": {"gateway_nodes_max": 1},
    "provider_nodes_max": {"provider_nodes_max": 1},
}


def test_every_relation_has_a_broken_example() -> None:
    assert {relation.field for relation in RELATIONS} == set(BROKEN)


@pytest.mark.parametrize("field", sorted(BROKEN))
def test_numbers_that_contradict_one_another_are_refused_by_name(field: str) -> None:
    with pytest.raises(PolicyError, match=f"policy {field} = "):
        check(replace(PRODUCTION, **BROKEN[field]))  # type: ignore[arg-type]


def test_the_table_knows_no_cloud() -> None:
    tree = ast.parse(Path(policy.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc", "dataclasses", "typing"}
