"""The watchdog in Hangzhou: one node, once, and only when nothing answers; the decision itself is proved beside the other one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from handlers.operations.hangzhou.api import ApiRefused
from handlers.operations.hangzhou.watchdog import handler, settings_parameter
from tests.handlers.operations.hangzhou.conftest import Account, Instance

UNRESPONSIVE = "therouter-production-unresponsive"
MEMORY = "therouter-production-watchdog-last-reboot"
EVENT: dict[str, Any] = {
    "stage": "production",
    "alarms": [{"name": UNRESPONSIVE, "region": "cn-hangzhou"}, {"name": "other", "region": "cn-hangzhou"}],
    "target_group": "alb-1",
    "database": "pgm-1",
    "memory": MEMORY,
    "cooldown_minutes": 30,
}


@pytest.fixture
def outage(account: Account) -> Account:
    account.instances = {
        "i-a": Instance(addresses=("10.0.0.1", "10.0.0.2")),
        "i-b": Instance(addresses=("10.0.0.3",)),
        "i-foreign": Instance(tags={"therouter:stage": "staging"}, addresses=("10.0.0.9",)),
    }
    account.servers = {"10.0.0.1": "CONNECT_TIMEOUT", "10.0.0.2": "CONNECT_FAILED", "10.0.0.3": "CONNECT_TIMEOUT"}
    account.alarms = {UNRESPONSIVE: "ALARM", "other": "OK"}
    account.parameters = {MEMORY: "never"}
    return account


def reason(event: dict[str, Any] = EVENT) -> object:
    return handler(event, None)["reason"]


@pytest.mark.claim("C72")
def test_c72_the_node_with_most_silent_pods_is_rebooted_and_remembered(outage: Account) -> None:
    assert reason() == "nothing_answers"
    assert outage.rebooted == ["i-a"]
    at, _, node = outage.parameters[MEMORY].partition(" ")
    assert node == "i-a"
    assert datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(minutes=1)


@pytest.mark.claim("C72")
def test_c72_a_storm_of_calls_reboots_one_node(outage: Account) -> None:
    assert [reason() for _ in range(5)] == ["nothing_answers", *["cooling_down"] * 4]
    assert outage.rebooted == ["i-a"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"alarms": {UNRESPONSIVE: "OK"}}, "recovered"),
        ({"alarms": {}}, "recovered"),
        ({"servers": {"10.0.0.1": "CONNECT_TIMEOUT", "10.0.0.3": "healthy"}}, "some_targets_healthy"),
        ({"servers": {"10.0.0.1": "RESPONSE_MISMATCH"}}, "dependency_at_fault"),
        ({"database_status": "Rebooting"}, "dependency_at_fault"),
        ({"servers": {"10.0.0.1": "leaving"}}, "no_suitable_node"),
        ({"servers": {}}, "no_suitable_node"),
        (
            {"instances": {"i-foreign": Instance(tags={"therouter:stage": "staging"}, addresses=("10.0.0.1",))}},
            "no_suitable_node",
        ),
        ({"parameters": {MEMORY: f"{datetime.now(UTC).isoformat()} i-b"}}, "cooling_down"),
    ],
)
def test_in_every_other_case_nothing_is_done(outage: Account, change: dict[str, Any], why: str) -> None:
    for name, value in change.items():
        setattr(outage, name, value)
    assert reason() == why
    assert outage.rebooted == []


def test_an_alarms_call_finds_its_settings_in_the_parameter(outage: Account) -> None:
    outage.parameters[settings_parameter("production")] = msgspec.json.encode(EVENT).decode()
    assert reason({"alertName": UNRESPONSIVE, "alertState": "ALERT"}) == "nothing_answers"
    assert outage.rebooted == ["i-a"]


def test_a_reboot_is_remembered_before_it_happens(outage: Account) -> None:
    outage.refused = {"RebootInstance"}
    with pytest.raises(ApiRefused):
        handler(EVENT, None)
    outage.refused = set()
    assert reason() == "cooling_down"


def test_a_refusal_names_the_action_and_quotes_nothing(outage: Account) -> None:
    outage.refused = {"ListListeners"}
    with pytest.raises(ApiRefused, match=r"alb ListListeners was refused \(403 Forbidden.RAM\)") as refused:
        handler(EVENT, None)
    assert "canary" not in str(refused.value)
    assert outage.rebooted == []
