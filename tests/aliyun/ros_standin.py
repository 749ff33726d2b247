"""A stand-in for Resource Orchestration Service: one process-wide state, real HTTP, and signatures that must be right.

It verifies each request from its raw bytes (acs3_check.py), refuses replays and stale dates, runs the offline checker in place of ROS's validation, and moves stacks one step for each look at them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from aliyun.check import check
from tests.handlers.clouds.acs3_check import refusal, signer
from tests.handlers.clouds.rpc_server import serving

Answer = dict[str, Any]


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass
class StackState:
    """One stack."""

    stack_id: str
    name: str
    status: str = "REVIEW_IN_PROGRESS"
    template: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    events: list[Answer] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """Resources that are still to be made."""
    before: tuple[str, dict[str, str]] = ("", {})
    """Template and parameters that a failed update goes back to."""
    protected: bool = False


@dataclass
class ChangeSet:
    """One change set."""

    change_set_id: str
    name: str
    stack_id: str
    template: str
    parameters: dict[str, str]
    looks: int = 0
    executed: bool = False


@dataclass
class RosStandin:
    """The service; tests read and spoil its state."""

    access_key_id: str
    access_key_secret: str
    stacks: dict[str, StackState] = field(default_factory=dict)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refuse_next: list[Refusal] = field(default_factory=list)
    """Refusals for the next calls, in order."""
    refuse: dict[str, Refusal] = field(default_factory=dict)
    """Action -> how it is refused, always."""
    fail_resource: str = ""
    """Logical id that cannot be made."""
    endpoint: str = ""
    _nonces: set[str] = field(default_factory=set)
    _tokens: dict[str, Answer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, raw_headers: dict[str, str], body: bytes) -> Answer:
        with self._lock:
            self._verify(raw_headers, body)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            action = raw_headers["x-acs-action"]
            self.calls.append((action, form))
            if self.refuse_next:
                raise self.refuse_next.pop(0)
            if action in self.refuse:
                raise self.refuse[action]
            if form.get("RegionId") != "cn-hangzhou":
                raise Refusal(400, "InvalidRegionId", "this stand-in is in cn-hangzhou")
            token = form.get("ClientToken", "")
            if token and token in self._tokens:
                return self._tokens[token]
            result: Answer = getattr(self, _method(action))(form)
            if token:
                self._tokens[token] = result
            return {"RequestId": "r-1", **result}

    def actions(self) -> list[str]:
        return [action for action, _ in self.calls]

    def _verify(self, headers: dict[str, str], body: bytes) -> None:
        if signer(headers) != self.access_key_id:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        code = refusal(headers, body, self.access_key_secret, self._nonces)
        if code:
            raise Refusal(400, code, "the request is not signed as it must be")

    def _validate_template(self, form: dict[str, str]) -> Answer:
        mistakes = check("template", msgspec.json.decode(form["TemplateBody"]))
        if mistakes:
            raise Refusal(400, "StackValidationFailed", str(mistakes[0]))
        return {}

    def _list_stacks(self, form: dict[str, str]) -> Answer:
        rows = [stack for stack in self.stacks.values() if stack.name == form["StackName.1"]]
        return {"Stacks": [{"StackId": row.stack_id, "StackName": row.name, "Status": row.status} for row in rows]}

    def _create_change_set(self, form: dict[str, str]) -> Answer:
        parameters = {
            form[f"Parameters.{index}.ParameterKey"]: form[f"Parameters.{index}.ParameterValue"]
            for index in range(1, 201)
            if f"Parameters.{index}.ParameterKey" in form
        }
        declared = msgspec.json.decode(form["TemplateBody"])["Parameters"]
        if set(declared) != set(parameters):
            raise Refusal(400, "StackValidationFailed", "parameters and template disagree")
        if form["ChangeSetType"] == "CREATE":
            if any(stack.name == form["StackName"] for stack in self.stacks.values()):
                raise Refusal(409, "StackExists", "the stack exists")
            stack = StackState(f"stack-{len(self.stacks) + 1}", form["StackName"])
            self.stacks[stack.stack_id] = stack
        else:
            stack = self.stacks[form["StackId"]]
            if stack.template == form["TemplateBody"] and stack.parameters == parameters:
                raise Refusal(400, "NotSupported", "Update the completely same stack is not supported.")
        made = ChangeSet(
            f"cs-{len(self.change_sets) + 1}", form["ChangeSetName"], stack.stack_id, form["TemplateBody"], parameters
        )
        self.change_sets[made.change_set_id] = made
        return {"ChangeSetId": made.change_set_id, "StackId": stack.stack_id}

    def _list_change_sets(self, form: dict[str, str]) -> Answer:
        rows = [
            row
            for row in self.change_sets.values()
            if row.stack_id == form["StackId"] and row.name == form["ChangeSetName.1"] and not row.executed
        ]
        return {"ChangeSets": [{"ChangeSetId": row.change_set_id, "ChangeSetName": row.name} for row in rows]}

    def _get_change_set(self, form: dict[str, str]) -> Answer:
        row = self.change_sets[form["ChangeSetId"]]
        row.looks += 1
        ids = msgspec.json.decode(row.template)["Resources"]
        changes = [{"ResourceChange": {"Action": "Add", "LogicalResourceId": logical_id}} for logical_id in ids]
        return {"Status": "CREATE_COMPLETE" if row.looks > 1 else "CREATE_IN_PROGRESS", "Changes": changes}

    def _execute_change_set(self, form: dict[str, str]) -> Answer:
        row = self.change_sets[form["ChangeSetId"]]
        stack = self.stacks[row.stack_id]
        kind = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        row.executed = True
        stack.before = (stack.template, stack.parameters)
        stack.status, stack.template, stack.parameters = f"{kind}_IN_PROGRESS", row.template, row.parameters
        stack.pending = list(msgspec.json.decode(row.template)["Resources"])
        return {}

    def _get_stack(self, form: dict[str, str]) -> Answer:
        stack = self.stacks[form["StackId"]]
        self._advance(stack)
        hidden = {name for name, body in self._declared(stack).items() if body.get("NoEcho")}
        parameters = [
            {"ParameterKey": name, "ParameterValue": "******" if name in hidden else value}
            for name, value in stack.parameters.items()
        ]
        answer: Answer = {
            "StackId": stack.stack_id,
            "StackName": stack.name,
            "Status": stack.status,
            "Parameters": parameters,
        }
        if stack.status.endswith("_COMPLETE") and stack.template:
            outputs = msgspec.json.decode(stack.template)["Outputs"]
            answer["Outputs"] = [{"OutputKey": key, "OutputValue": f"{stack.name}/{key}"} for key in outputs]
        return answer

    def _declared(self, stack: StackState) -> dict[str, Answer]:
        return dict(msgspec.json.decode(stack.template)["Parameters"]) if stack.template else {}

    def _advance(self, stack: StackState) -> None:
        if not stack.status.endswith("_IN_PROGRESS") or stack.status == "REVIEW_IN_PROGRESS":
            return
        kind = stack.status.removesuffix("_IN_PROGRESS")
        for logical_id in stack.pending[:50]:
            if logical_id == self.fail_resource:
                reason = "Quota exceeded: raise it in the quota centre."
                self._event(stack, f"{kind}_FAILED", logical_id, reason)
                stack.pending = []
                stack.status = "CREATE_FAILED" if kind == "CREATE" else "ROLLBACK_COMPLETE"
                if kind == "UPDATE":
                    stack.template, stack.parameters = stack.before
                return
            self._event(stack, f"{kind}_COMPLETE", logical_id)
        stack.pending = stack.pending[50:]
        if not stack.pending:
            stack.status = f"{kind}_COMPLETE"

    def _event(self, stack: StackState, status: str, logical_id: str, reason: str = "") -> None:
        row = {
            "EventId": f"e-{len(stack.events)}",
            "Status": status,
            "LogicalResourceId": logical_id,
            "StatusReason": reason,
        }
        stack.events.insert(0, row)

    def _list_stack_events(self, form: dict[str, str]) -> Answer:
        return {"Events": self.stacks[form["StackId"]].events[:50]}

    def _get_template(self, form: dict[str, str]) -> Answer:
        return {"TemplateBody": self.stacks[form["StackId"]].template}

    def _set_deletion_protection(self, form: dict[str, str]) -> Answer:
        self.stacks[form["StackId"]].protected = form["DeletionProtection"] == "Enabled"
        return {}

    def _delete_stack(self, form: dict[str, str]) -> Answer:
        del self.stacks[form["StackId"]]
        return {}


def _method(action: str) -> str:
    """`CreateChangeSet` -> `_create_change_set`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action)


@contextmanager
def serve(standin: RosStandin) -> Iterator[RosStandin]:
    """Serve on a free loopback port; `standin.endpoint` says where."""

    def answer(headers: dict[str, str], body: bytes) -> tuple[int, Answer]:
        try:
            return 200, standin.answer(headers, body)
        except Refusal as refused:
            return refused.status, {"Code": refused.code, "Message": refused.message, "RequestId": "r-1"}

    with serving(answer) as standin.endpoint:
        yield standin
