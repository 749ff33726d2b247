"""A node that fails its checks in a row is moved or restarted once; nothing else is ever touched."""

from __future__ import annotations

import pytest

from handlers.operations.hangzhou.alarms import handler
from handlers.operations.hangzhou.api import ApiRefused
from handlers.operations.hangzhou.status_check import Failures, Seen, StatusEvent, count
from handlers.operations.journal import EventError
from tests.handlers.operations.hangzhou.conftest import Account, Instance

MEMORY = "therouter-production-watchdog-failures"
EVENT: dict[str, object] = {
    "stage": "production",
    "period_s": 60,
    "recover_after_failures": 2,
    "restart_after_failures": 3,
    "failures": MEMORY,
}
TOLD = StatusEvent(stage="production", period_s=60, recover_after_failures=2, restart_after_failures=3, failures=MEMORY)
HARDWARE = ("SystemFailure.Reboot",)


@pytest.fixture
def nodes(account: Account) -> Account:
    account.parameters[MEMORY] = "{}"
    account.instances = {"i-a": Instance(), "i-b": Instance()}
    return account


@pytest.mark.claim("C70")
def test_c70_failed_hardware_moves_the_node_after_two_checks(nodes: Account) -> None:
    nodes.instances["i-a"] = Instance(health="Impaired", system_events=HARDWARE)
    assert handler(EVENT, None)["moved"] == ""
    assert handler(EVENT, None)["moved"] == "i-a"
    assert (nodes.moved, nodes.rebooted) == (["i-a"], [])
    assert handler(EVENT, None)["moved"] == "", "the count begins anew"


@pytest.mark.claim("C70")
def test_c70_a_failed_system_is_restarted_after_three_checks(nodes: Account) -> None:
    nodes.instances["i-b"] = Instance(health="Impaired")
    answers = [handler(EVENT, None)["restarted"] for _ in range(4)]
    assert answers == ["", "", "i-b", ""]
    assert (nodes.moved, nodes.rebooted) == ([], ["i-b"])


def test_a_check_that_is_passed_ends_the_count(nodes: Account) -> None:
    for health in ("Impaired", "Impaired", "Ok", "Impaired", "Impaired", "InsufficientData", "Impaired", "Impaired"):
        nodes.instances["i-a"].health = health
        handler(EVENT, None)
    assert (nodes.moved, nodes.rebooted) == ([], [])


def test_one_node_at_a_time_the_longest_impaired_first(nodes: Account) -> None:
    for node in nodes.instances.values():
        node.health = "Impaired"
    answers = [handler(EVENT, None) for _ in range(4)]
    assert [row["restarted"] for row in answers] == ["", "", "i-b", "i-a"]
    assert answers[0]["impaired"] == ["i-a", "i-b"]


def test_another_stages_instance_is_never_looked_at(nodes: Account) -> None:
    nodes.instances = {"i-x": Instance(tags={"therouter:stage": "staging"}, health="Impaired")}
    assert handler(EVENT, None)["nodes"] == 0
    assert "DescribeInstancesFullStatus" not in nodes.calls


def test_a_memory_that_cannot_be_read_as_counts_begins_anew(nodes: Account) -> None:
    nodes.parameters[MEMORY] = "never"
    nodes.instances["i-a"].health = "Impaired"
    handler(EVENT, None)
    assert nodes.parameters[MEMORY] == '{"i-a":{"system":0,"instance":1}}'


def test_the_count_is_written_before_a_node_is_touched(nodes: Account) -> None:
    nodes.instances["i-a"].health = "Impaired"
    nodes.refused = {"RebootInstance"}
    handler(EVENT, None)
    handler(EVENT, None)
    with pytest.raises(ApiRefused):
        handler(EVENT, None)
    assert nodes.parameters[MEMORY] == "{}"


def test_healthy_nodes_cost_no_write(nodes: Account) -> None:
    handler(EVENT, None)
    assert "UpdateParameter" not in nodes.calls


def test_what_was_at_fault_before_counts_for_its_own_kind_alone() -> None:
    before = {"i-a": Failures(instance=2)}
    verdict = count(before, [Seen("i-a", impaired=True, hardware=True)], TOLD)
    assert verdict == ({"i-a": Failures(system=1)}, "", "")


def test_an_event_without_its_numbers_is_refused(nodes: Account) -> None:
    with pytest.raises(EventError, match="recover_after_failures"):
        handler({"stage": "production", "period_s": 60}, None)
    assert nodes.calls == []
