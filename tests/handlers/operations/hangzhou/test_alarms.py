"""Every node of ours is set to recover by itself; no other instance is touched."""

from __future__ import annotations

import pytest

from handlers.operations.hangzhou.alarms import handler
from handlers.operations.journal import EventError
from tests.handlers.operations.hangzhou.conftest import Account, Instance


@pytest.mark.claim("C70")
def test_c70_a_node_that_would_not_recover_is_set_right(account: Account) -> None:
    account.instances = {"i-a": Instance(), "i-b": Instance(maintenance="Stop")}
    assert handler({"stage": "production"}, None)["set_right"] == ["i-b"]
    assert account.instances["i-b"].maintenance == "AutoRecover"
    assert handler({"stage": "production"}, None)["set_right"] == []


def test_another_stages_instance_is_left_alone(account: Account) -> None:
    account.instances = {"i-x": Instance(tags={"therouter:stage": "staging"}, maintenance="Stop")}
    assert handler({"stage": "production"}, None)["nodes"] == 0
    assert account.instances["i-x"].maintenance == "Stop"


def test_a_nodes_event_looks_at_this_deployments_nodes(account: Account) -> None:
    account.instances = {"i-a": Instance(maintenance="Stop")}
    assert handler({"instance": "i-a", "state": "running"}, None)["set_right"] == ["i-a"]


def test_several_pages_of_nodes_are_read(account: Account) -> None:
    account.instances = {f"i-{index}": Instance(maintenance="Stop") for index in range(230)}
    assert handler({"stage": "production"}, None)["nodes"] == 230
    assert {row.maintenance for row in account.instances.values()} == {"AutoRecover"}


def test_nothing_runs_and_nothing_is_asked_further(account: Account) -> None:
    assert handler({"stage": "production"}, None)["nodes"] == 0
    assert account.calls == ["DescribeInstances"]


def test_an_event_of_nobodys_is_refused(account: Account) -> None:
    with pytest.raises(EventError, match="colour"):
        handler({"colour": "red"}, None)
    assert account.calls == []
