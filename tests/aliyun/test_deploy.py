"""The deployment against a service that checks signatures: order, outputs, idempotence, resumption, explained failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from aliyun.base import RouterStack
from aliyun.client import CloudError, Ros
from aliyun.deploy import DeployError, Deployment, environment_name
from aliyun.region import build_region
from aliyun.settings import Settings
from handlers.clouds.acs3 import Credentials
from tests.aliyun.ros_standin import Refusal, RosStandin, serve

KEY_ID = "test-key-id"
KEY_SECRET = "made-up-" * 3
VALUES = {name: f"{name}-value-" * 3 for name in ("Placeholder", "DatabaseOwnerPassword", "EdgeToken")}


@pytest.fixture
def standin() -> Iterator[RosStandin]:
    with serve(RosStandin(KEY_ID, KEY_SECRET)) as served:
        yield served


@pytest.fixture
def ros(standin: RosStandin) -> Iterator[Ros]:
    client = Ros(Credentials(KEY_ID, KEY_SECRET), endpoint=standin.endpoint, pause=lambda _seconds: None)
    yield client
    client.close()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def deployment(ros: Ros, lines: list[str]) -> Deployment:
    return fresh(ros, lines)


def fresh(ros: Ros, lines: list[str]) -> Deployment:
    return Deployment(ros=ros, operator_values=VALUES, show=lines.append, pause=lambda _seconds: None)


def in_order(stacks: dict[str, RouterStack]) -> list[RouterStack]:
    return list(stacks.values())


def test_all_stacks_are_deployed_in_order_and_fed_with_outputs(
    deployment: Deployment, stacks: dict[str, RouterStack], standin: RosStandin, lines: list[str]
) -> None:
    outputs = deployment.run(in_order(stacks))
    assert [stack.name for stack in standin.stacks.values()] == [stack.stack_name for stack in stacks.values()]
    assert {stack.status for stack in standin.stacks.values()} == {"CREATE_COMPLETE"}
    database = next(stack for stack in standin.stacks.values() if stack.name.endswith("-database"))
    assert database.parameters["NetworkVpcId"] == outputs["network"]["VpcId"]
    assert database.parameters["DatabaseOwnerPassword"] == VALUES["DatabaseOwnerPassword"]
    assert f"[1/{len(stacks)}] therouter-production-network" in lines
    assert any("CREATE_COMPLETE" in line for line in lines)


def test_stacks_that_hold_data_are_protected(
    deployment: Deployment, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    deployment.run(in_order(stacks))
    protected = {
        stack.name.removeprefix("therouter-production-") for stack in standin.stacks.values() if stack.protected
    }
    assert protected == {"network", "secrets", "database"}


def test_each_stack_is_validated_reviewed_and_executed_in_this_order(
    deployment: Deployment, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    deployment.run([stacks["network"]])
    kinds = [
        action
        for action in standin.actions()
        if action in {"ValidateTemplate", "CreateChangeSet", "GetChangeSet", "ExecuteChangeSet"}
    ]
    assert kinds == ["ValidateTemplate", "CreateChangeSet", "GetChangeSet", "GetChangeSet", "ExecuteChangeSet"]


def test_a_second_deployment_changes_nothing(
    ros: Ros, stacks: dict[str, RouterStack], standin: RosStandin, lines: list[str]
) -> None:
    first = fresh(ros, []).run(in_order(stacks))
    standin.calls.clear()
    second = fresh(ros, lines).run(in_order(stacks))
    assert first == second
    assert not {"CreateChangeSet", "ExecuteChangeSet", "DeleteStack"} & set(standin.actions())
    assert lines.count("      unchanged") == len(stacks)


def test_a_changed_number_updates_its_stacks_alone(
    ros: Ros, settings: Settings, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    fresh(ros, []).run(in_order(stacks))
    standin.calls.clear()
    policy = replace(settings.policy, key_rotation_days=180)
    changed = build_region(replace(settings, policy=policy)).stacks
    fresh(ros, []).run(changed)
    updated = [form["StackId"] for action, form in standin.calls if action == "CreateChangeSet"]
    assert [standin.stacks[stack_id].name for stack_id in updated] == ["therouter-production-secrets"]


def test_after_a_failed_update_the_next_deployment_goes_through(
    ros: Ros, settings: Settings, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    fresh(ros, []).run([stacks["network"]])
    policy = replace(settings.policy, flow_log_retention_days=60)
    changed = build_region(replace(settings, policy=policy)).stacks[0]
    standin.fail_resource = "RefusedConnections"
    with pytest.raises(DeployError, match="ROLLBACK_COMPLETE: RefusedConnections"):
        fresh(ros, []).run([changed])
    standin.fail_resource = ""
    fresh(ros, []).run([changed])
    (stack,) = standin.stacks.values()
    assert stack.status == "UPDATE_COMPLETE"
    assert '"TTL":60' in stack.template


def test_new_values_reach_the_stacks_that_take_them_and_no_others(
    ros: Ros, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    fresh(ros, []).run(in_order(stacks))
    standin.calls.clear()
    values = VALUES | {"EdgeToken": "rotated-" * 5}
    Deployment(
        ros=ros, operator_values=values, show=lambda _line: None, new_values=True, pause=lambda _seconds: None
    ).run(in_order(stacks))
    updated = {standin.stacks[form["StackId"]].name for action, form in standin.calls if action == "CreateChangeSet"}
    assert updated == {f"therouter-production-{name}" for name in ("database", "workloads", "edge")}
    assert {s.parameters["EdgeToken"] for s in standin.stacks.values() if "EdgeToken" in s.parameters} == {
        "rotated-" * 5
    }


def test_an_unexecuted_change_set_of_an_interrupted_update_is_taken_up(
    ros: Ros, settings: Settings, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    fresh(ros, []).run([stacks["network"]])
    policy = replace(settings.policy, flow_log_retention_days=60)
    changed = build_region(replace(settings, policy=policy)).stacks[0]
    standin.refuse = {"ExecuteChangeSet": Refusal(400, "Interrupted", "gone")}
    with pytest.raises(CloudError, match="Interrupted"):
        fresh(ros, []).run([changed])
    standin.refuse.clear()
    standin.calls.clear()
    fresh(ros, []).run([changed])
    assert "CreateChangeSet" not in standin.actions()
    assert "ExecuteChangeSet" in standin.actions()


def test_an_empty_shell_of_an_interrupted_creation_is_replaced(
    ros: Ros, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    standin.refuse = {"ExecuteChangeSet": Refusal(400, "Interrupted", "gone")}
    with pytest.raises(CloudError):
        fresh(ros, []).run([stacks["network"]])
    standin.refuse.clear()
    fresh(ros, []).run([stacks["network"]])
    assert [stack.status for stack in standin.stacks.values()] == ["CREATE_COMPLETE"]


def test_a_stack_that_somebody_else_changes_is_waited_for(
    ros: Ros, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    fresh(ros, []).run([stacks["network"]])
    (stack,) = standin.stacks.values()
    stack.status, stack.pending = "UPDATE_IN_PROGRESS", ["Vpc"]
    fresh(ros, []).run([stacks["network"]])
    assert stack.status == "UPDATE_COMPLETE"


def test_a_failure_names_the_resource_the_reason_and_the_way_on_and_stops(
    deployment: Deployment, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    standin.fail_resource = "Nat1"
    with pytest.raises(DeployError, match=r"(?s)network is CREATE_FAILED: Nat1: Quota exceeded.*deploy again"):
        deployment.run(in_order(stacks))
    assert len(standin.stacks) == 1


def test_a_wrong_template_is_refused_before_anything_is_made(
    deployment: Deployment, standin: RosStandin, settings: Settings
) -> None:
    spoiled = build_region(settings).stacks[0]
    spoiled.add("Wrong", "ALIYUN::ECS::VPC", {"Cidr": "10.0.0.0/8"})
    with pytest.raises(CloudError, match=r"StackValidationFailed.*Wrong.Properties.Cidr"):
        deployment.run([spoiled])
    assert standin.stacks == {}


def test_throttling_and_outages_are_retried(
    deployment: Deployment, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    standin.refuse_next = [Refusal(400, "Throttling.User", "slow down"), Refusal(503, "ServiceUnavailable", "")]
    deployment.run([stacks["network"]])
    assert standin.actions()[:3] == ["ValidateTemplate"] * 3


def test_a_lasting_outage_is_raised(ros: Ros, standin: RosStandin) -> None:
    standin.refuse_next = [Refusal(503, "ServiceUnavailable", "") for _ in range(9)]
    with pytest.raises(CloudError, match="ServiceUnavailable"):
        ros.call("ListStacks", {"StackName": ["x"]})
    assert len(standin.calls) == 5


@pytest.mark.parametrize(
    ("credentials", "remedy"),
    [
        (Credentials("nobody", KEY_SECRET), "ALIBABA_CLOUD_ACCESS_KEY_ID"),
        (Credentials(KEY_ID, "wrong"), "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    ],
)
def test_wrong_credentials_are_explained(standin: RosStandin, credentials: Credentials, remedy: str) -> None:
    client = Ros(credentials, endpoint=standin.endpoint, pause=lambda _seconds: None)
    with pytest.raises(CloudError, match=remedy) as refused:
        client.call("ListStacks", {"StackName": ["x"]})
    client.close()
    assert KEY_SECRET not in str(refused.value)
    assert standin.calls == []


def test_nobody_answering_is_an_outage() -> None:
    client = Ros(Credentials(KEY_ID, KEY_SECRET), endpoint="http://127.0.0.1:9", pause=lambda _seconds: None)
    with pytest.raises(CloudError, match="Unreachable"):
        client.call("ListStacks", {})
    client.close()


def test_missing_operator_values_are_named_before_the_first_call(
    ros: Ros, stacks: dict[str, RouterStack], standin: RosStandin
) -> None:
    deployment = Deployment(ros=ros, operator_values={}, show=lambda _line: None)
    with pytest.raises(DeployError, match="THEROUTER_DATABASE_OWNER_PASSWORD, THEROUTER_EDGE_TOKEN"):
        deployment.run(in_order(stacks))
    assert standin.calls == []


def test_no_value_of_the_operator_is_shown(
    deployment: Deployment, stacks: dict[str, RouterStack], lines: list[str]
) -> None:
    deployment.run(in_order(stacks))
    shown = "\n".join(lines) + repr(deployment)
    assert not any(value in shown for value in VALUES.values())


def test_the_environments_names() -> None:
    assert environment_name("EdgeToken") == "THEROUTER_EDGE_TOKEN"
