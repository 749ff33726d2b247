"""The builders: a ROS template is a plain dict, and a stack is a class that fills one.

Nouns
    *Resource*: an entry of the template, with `ref` and `att(name)` for others to point at.
    *Export*: a value that one stack shows to later ones. *Import*: the same value in the stack that uses it, as a parameter
    which the deployment fills from the outputs of the earlier stack; so no stack holds another one hostage.

Rules
    Stacks are wired in `aliyun/app.py` by passing objects. Physical names begin with `therouter-<stage>`.
    What holds data is retained when its stack goes. Every resource that can carry tags carries ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aliyun import schema
from aliyun.settings import Settings
from stacks.policy import Policy

RECOVERY_TAG = "therouter:auto-recovery"
"""Nodes that carry it with the value `true` get alarms, and may be rebooted by the watchdog; no other instance may."""


class Resource(NamedTuple):
    """A resource in a template."""

    logical_id: str

    @property
    def ref(self) -> dict[str, str]:
        """Its physical id."""
        return {"Ref": self.logical_id}

    def att(self, name: str) -> dict[str, list[str]]:
        """One of its attributes."""
        return {"Fn::GetAtt": [self.logical_id, name]}


class Export(NamedTuple):
    """A value of one stack that others may use."""

    stack: str
    key: str

    @property
    def parameter(self) -> str:
        """The name of the parameter that carries it into another stack."""
        return f"{self.stack.capitalize()}{self.key}"


class RouterStack:
    """One template; subclasses fill it in their constructor."""

    name = ""
    """Lower case; the file under aliyun.out and the last part of the stack's name in the cloud."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.imports: dict[str, Export] = {}
        """Parameter -> the export that fills it."""
        self._parameters: dict[str, Any] = {}
        self._resources: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}

    @property
    def policy(self) -> Policy:
        """The promised numbers of this stage."""
        return self.settings.policy

    @property
    def stack_name(self) -> str:
        """The stack's name in the cloud."""
        return self.physical(self.name)

    def physical(self, *parts: str) -> str:
        """A physical name: `therouter-<stage>-<parts>`."""
        return "-".join(("therouter", self.settings.stage, *parts))

    def add(
        self,
        logical_id: str,
        ros_type: str,
        properties: dict[str, Any],
        *,
        after: tuple[Resource, ...] = (),
        retain: bool = False,
    ) -> Resource:
        """Add a resource; `after` orders what no reference orders, `retain` keeps it when the stack goes."""
        body: dict[str, Any] = {"Type": ros_type, "Properties": {**properties, **self._tags(ros_type)}}
        if after:
            body["DependsOn"] = [resource.logical_id for resource in after]
        if retain:
            body["DeletionPolicy"] = "Retain"
        self._resources[logical_id] = body
        return Resource(logical_id)

    def export(self, key: str, value: object, description: str) -> Export:
        """Show a value to later stacks and to the operator."""
        self._outputs[key] = {"Value": value, "Description": description}
        return Export(self.name, key)

    def use(self, exported: Export) -> object:
        """A value that an earlier stack or this one exported."""
        if exported.stack == self.name:
            return self._outputs[exported.key]["Value"]
        name = exported.parameter
        self.imports[name] = exported
        self._parameters[name] = {
            "Type": "String",
            "Description": f"Output {exported.key} of the stack {exported.stack}; filled by the deployment",
        }
        return {"Ref": name}

    def operator_value(self, name: str, description: str) -> dict[str, str]:
        """A parameter that the deployment passes once and nobody can read back (NoEcho); never has a default."""
        self._parameters[name] = {"Type": "String", "NoEcho": True, "Description": description}
        return {"Ref": name}

    def template(self) -> dict[str, Any]:
        """The template as ROS takes it."""
        return {
            "ROSTemplateFormatVersion": "2015-09-01",
            "Description": (type(self).__doc__ or "").split("\n", maxsplit=1)[0],
            "Parameters": self._parameters,
            "Resources": self._resources,
            "Outputs": self._outputs,
        }

    def _tags(self, ros_type: str) -> dict[str, Any]:
        known = schema.load().types.get(ros_type)
        shape = known.properties.get("Tags") if known else None
        tags = {"therouter:stage": self.settings.stage, "therouter:intention": self.name}
        if shape is None:
            return {}
        return {"Tags": tags if shape.type == "map" else [{"Key": key, "Value": tags[key]} for key in tags]}
