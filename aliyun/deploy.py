"""Deployment: for each stack in order validate -> change set -> execute -> wait, and hand its outputs to the next.

Rules
    Idempotent: a stack whose template and parameters are what already runs is left alone. A change set is named after the digest of
    its template and parameters, so an interrupted deployment is taken up where it stopped. A stack that somebody else is changing is waited for.
    A failure stops the deployment: later stacks are not touched, and the message names the resource, its reason and the way on.
    Values that nobody may read back come from the deploying process's environment, go into NoEcho parameters, and are never
    compared, shown or logged. They are passed when a stack is made or changed, as ROS keeps no readable copy; `new_values` says
    that they have changed.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aliyun.base import RouterStack
from aliyun.client import CloudError, Ros
from aliyun.secrets import PLACEHOLDER

PROTECTED = frozenset({"network", "secrets", "database"})
"""Stacks whose loss would lose data; nobody deletes them by accident."""
POLL_S = 5.0
STACK_TIMEOUT_S = 3_600.0
DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
UPDATABLE = DONE | {"CHECK_COMPLETE", "ROLLBACK_COMPLETE", "UPDATE_FAILED"}
"""A stack in one of these can be updated; ROLLBACK_COMPLETE and UPDATE_FAILED are what a failed update leaves."""
NO_CHANGE_CODE = "NotSupported"
"""ROS's answer to a change set that would change nothing."""

Show = Callable[[str], None]


class DeployError(Exception):
    """A deployment stopped; the message names the stack, the resource, the reason and the way on."""


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One run over all stacks, in order."""

    ros: Ros
    operator_values: Mapping[str, str] = field(repr=False)
    """NoEcho parameter -> value."""
    show: Show
    new_values: bool = False
    """The operator's values have changed: stacks that take any are updated though nothing else differs."""
    pause: Callable[[float], None] = time.sleep
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Stack -> its outputs."""
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Part of client tokens: a call sent twice in this run has one effect, a later run is a call of its own."""

    def run(self, stacks: Sequence[RouterStack]) -> dict[str, dict[str, str]]:
        """Deploy all stacks; raises DeployError or CloudError at the first that fails."""
        self._require_operator_values(stacks)
        for number, stack in enumerate(stacks, 1):
            self.show(f"[{number}/{len(stacks)}] {stack.stack_name}")
            self.outputs[stack.name] = self._deploy(stack)
        return self.outputs

    def _require_operator_values(self, stacks: Sequence[RouterStack]) -> None:
        wanted = {
            name for stack in stacks for name, body in stack.template()["Parameters"].items() if body.get("NoEcho")
        }
        missing = sorted(wanted - self.operator_values.keys())
        if missing:
            names = ", ".join(environment_name(name) for name in missing)
            raise DeployError(
                f"values that only the operator has are missing: set {names} in this process's environment"
            )

    def _deploy(self, stack: RouterStack) -> dict[str, str]:
        body = msgspec.json.encode(stack.template(), order="sorted").decode()
        parameters = self._parameters(stack)
        self.ros.call("ValidateTemplate", {"TemplateBody": body})
        existing = self._settled(stack)
        if existing is not None and self._is_current(existing, body, parameters):
            self.show("      unchanged")
            return _outputs(existing)
        change_set = self._change_set(stack, existing, body, parameters)
        if change_set is None:
            self.show("      unchanged")
            return _outputs(existing or {})
        stack_id, change_set_id = change_set
        before = self._events(stack_id)
        self.ros.call(
            "ExecuteChangeSet",
            {"ChangeSetId": change_set_id, "ClientToken": f"execute-{self.run_id}-{change_set_id}"[:64]},
        )
        done = self._wait(stack, stack_id, DONE, before)
        if stack.name in PROTECTED:
            self.ros.call("SetDeletionProtection", {"StackId": stack_id, "DeletionProtection": "Enabled"})
        return _outputs(done)

    def _parameters(self, stack: RouterStack) -> dict[str, str]:
        declared = stack.template()["Parameters"]
        values = {name: self.outputs[export.stack][export.key] for name, export in stack.imports.items()}
        return values | {name: self.operator_values[name] for name, body in declared.items() if body.get("NoEcho")}

    def _settled(self, stack: RouterStack) -> dict[str, Any] | None:
        """The stack as it stands, after any action under way has ended; None when there is none to update."""
        listed = self.ros.call("ListStacks", {"StackName": [stack.stack_name], "PageSize": 10})
        for row in listed.get("Stacks", ()):
            if row["StackName"] != stack.stack_name or row["Status"] == "DELETE_COMPLETE":
                continue
            if row["Status"] == "REVIEW_IN_PROGRESS":
                self._remove_shell(stack, row["StackId"])
                return None
            return self._wait(stack, row["StackId"], UPDATABLE)
        return None

    def _remove_shell(self, stack: RouterStack, stack_id: str) -> None:
        """Remove what a change set that was never executed left: a stack without resources."""
        self.ros.call("DeleteStack", {"StackId": stack_id})
        deadline = time.monotonic() + STACK_TIMEOUT_S
        while time.monotonic() < deadline:
            listed = self.ros.call("ListStacks", {"StackName": [stack.stack_name], "PageSize": 10})
            if all(
                row["StackId"] != stack_id or row["Status"] == "DELETE_COMPLETE" for row in listed.get("Stacks", ())
            ):
                return
            self.pause(POLL_S)
        raise DeployError(
            f"{stack.stack_name}: the empty stack of an interrupted deployment is still there; delete it and try again"
        )

    def _is_current(self, existing: Mapping[str, Any], body: str, parameters: Mapping[str, str]) -> bool:
        running = self.ros.call("GetTemplate", {"StackId": existing["StackId"], "TemplateStage": "Original"})
        try:
            same = msgspec.json.decode(running.get("TemplateBody", "")) == msgspec.json.decode(body)
        except (msgspec.DecodeError, TypeError):
            same = False
        known = {row["ParameterKey"]: row["ParameterValue"] for row in existing.get("Parameters", ())}
        if self.new_values and parameters.keys() & self.operator_values.keys() - {PLACEHOLDER}:
            return False
        return same and all(
            known.get(name) == value for name, value in parameters.items() if name not in self.operator_values
        )

    def _change_set(
        self, stack: RouterStack, existing: Mapping[str, Any] | None, body: str, parameters: Mapping[str, str]
    ) -> tuple[str, str] | None:
        """(stack id, change set id), ready to execute; None when nothing would change."""
        readable = {name: value for name, value in parameters.items() if name not in self.operator_values}
        digest = hashlib.sha256(
            msgspec.json.encode(
                [stack.stack_name, body, readable, existing is None, self.run_id if self.new_values else ""],
                order="sorted",
            )
        )
        name = f"therouter-{digest.hexdigest()[:24]}"
        target = (
            {"ChangeSetType": "UPDATE", "StackId": existing["StackId"]}
            if existing
            else {"ChangeSetType": "CREATE", "StackName": stack.stack_name}
        )
        found = self._available(existing, name)
        if found is not None:
            return found
        try:
            created = self.ros.call(
                "CreateChangeSet",
                {
                    **target,
                    "ChangeSetName": name,
                    "ClientToken": f"{name}-{self.run_id}",
                    "TemplateBody": body,
                    "TimeoutInMinutes": int(STACK_TIMEOUT_S // 60),
                    "Parameters": [
                        {"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())
                    ],
                },
            )
        except CloudError as error:
            if existing is not None and error.code == NO_CHANGE_CODE:
                return None
            raise
        return created["StackId"], self._reviewed(stack, created["ChangeSetId"])

    def _available(self, existing: Mapping[str, Any] | None, name: str) -> tuple[str, str] | None:
        """The change set that an interrupted deployment left ready."""
        if existing is None:
            return None
        listed = self.ros.call(
            "ListChangeSets",
            {"StackId": existing["StackId"], "ChangeSetName": [name], "ExecutionStatus": ["AVAILABLE"]},
        )
        for row in listed.get("ChangeSets", ()):
            if row["ChangeSetName"] == name:
                return existing["StackId"], row["ChangeSetId"]
        return None

    def _reviewed(self, stack: RouterStack, change_set_id: str) -> str:
        deadline = time.monotonic() + STACK_TIMEOUT_S
        while time.monotonic() < deadline:
            answer = self.ros.call("GetChangeSet", {"ChangeSetId": change_set_id})
            if answer["Status"] == "CREATE_COMPLETE":
                for change in answer.get("Changes", ()):
                    row = change.get("ResourceChange", {})
                    self.show(f"      {row.get('Action', '?'):8} {row.get('LogicalResourceId', '?')}")
                return change_set_id
            if answer["Status"].endswith("FAILED"):
                raise DeployError(
                    f"{stack.stack_name}: the change set failed: {answer.get('StatusReason', 'no reason given')}"
                )
            self.pause(POLL_S)
        raise DeployError(f"{stack.stack_name}: the change set was not ready in time; run the deployment again")

    def _wait(
        self, stack: RouterStack, stack_id: str, good: frozenset[str], seen: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Wait for the end of the action under way, which must be `good`; `seen` are the events that were there before it."""
        seen = self._events(stack_id) if seen is None else seen
        deadline = time.monotonic() + STACK_TIMEOUT_S
        while time.monotonic() < deadline:
            answer = self.ros.call("GetStack", {"StackId": stack_id})
            self._show_new(stack_id, seen)
            status = answer["Status"]
            if status in good:
                return answer
            if not status.endswith("_IN_PROGRESS"):
                raise DeployError(self._explain(stack, stack_id, answer))
            self.pause(POLL_S)
        raise DeployError(
            f"{stack.stack_name}: not done after {STACK_TIMEOUT_S / 60:.0f} minutes; run the deployment again, "
            "it takes up where this stopped"
        )

    def _events(self, stack_id: str) -> dict[str, str]:
        """The latest events, oldest first: id -> one line."""
        listed = self.ros.call("ListStackEvents", {"StackId": stack_id, "PageSize": 50})
        rows = reversed(listed.get("Events", ()))
        return {row["EventId"]: f"      {row['Status']:20} {row['LogicalResourceId']}" for row in rows}

    def _show_new(self, stack_id: str, seen: dict[str, str]) -> None:
        for event_id, line in self._events(stack_id).items():
            if event_id not in seen:
                seen[event_id] = line
                self.show(line)

    def _explain(self, stack: RouterStack, stack_id: str, answer: Mapping[str, Any]) -> str:
        listed = self.ros.call("ListStackEvents", {"StackId": stack_id, "PageSize": 50})
        failed = [event for event in listed.get("Events", ()) if event["Status"].endswith("FAILED")]
        cause = (
            failed[-1] if failed else {"LogicalResourceId": "the stack", "StatusReason": answer.get("StatusReason", "")}
        )
        ways_on = {
            "CREATE_FAILED": "correct the cause, delete the failed stack in the console (retained resources stay), deploy again",
            "ROLLBACK_COMPLETE": "correct the cause, deploy again: what was there before the update still runs",
        }
        way_on = ways_on.get(str(answer["Status"]), "correct the cause and deploy again")
        return f"{stack.stack_name} is {answer['Status']}: {cause['LogicalResourceId']}: {cause.get('StatusReason') or 'no reason given'}\n  {way_on}"


def environment_name(parameter: str) -> str:
    """The environment variable that carries a NoEcho parameter: `EdgeToken` -> `THEROUTER_EDGE_TOKEN`."""
    return "THEROUTER" + "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in parameter)


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {row["OutputKey"]: str(row["OutputValue"]) for row in stack.get("Outputs", ())}
