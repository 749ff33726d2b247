"""The checker: is this template what ROS accepts? Offline, from the facts in `schema.json`.

What it verifies
    template    sections, resource types, DependsOn, unused parameters
    property    known, required ones present, type, enumeration, range, length, pattern; nested and in lists
    reference   Ref, Fn::GetAtt (with the type's attributes), Fn::Sub variables; function names and shapes

What a reference will be is known only at deployment, so a function in place of a value satisfies any shape.
`aliyun/rules.py` asks the other question: is this template what we promise?
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from aliyun.schema import ResourceType, Schema, Shape, load

SECTIONS = frozenset({"ROSTemplateFormatVersion", "Description", "Parameters", "Resources", "Outputs", "Metadata"})
PSEUDO = frozenset(f"ALIYUN::{name}" for name in ("Region", "AccountId", "StackName", "StackId", "NoValue", "TenantId"))
FUNCTIONS = frozenset(
    {"Ref", *(f"Fn::{name}" for name in ("GetAtt", "Sub", "Select", "Join", "Replace", "Jq", "Split"))}
)
RESOURCE_KEYS = frozenset({"Type", "Properties", "DependsOn", "DeletionPolicy"})
_VARIABLE = re.compile(r"\$\{([^}!]+)\}")


class Finding(NamedTuple):
    """One mistake."""

    template: str
    """File name under aliyun.out."""
    path: str
    """`Resources.<logical id>.Properties.<property>...`"""
    message: str

    def __str__(self) -> str:
        return f"{self.template}: {self.path}: {self.message}"


class Problem(NamedTuple):
    """A finding before it knows its template."""

    path: str
    message: str


def check(name: str, template: dict[str, Any], schema: Schema | None = None) -> list[Finding]:
    """Every mistake in one template; `name` is its file name."""
    checker = _Checker(template, schema or load())
    return [Finding(name, problem.path, problem.message) for problem in checker.problems()]


def is_function(value: object) -> bool:
    """Whether a value is computed at deployment."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in FUNCTIONS


def references(value: object) -> Iterator[tuple[str, Any]]:
    """Each (function, argument) in a value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if len(value) == 1 and (key == "Ref" or str(key).startswith("Fn::")):
                yield key, inner
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


class _Checker:
    def __init__(self, template: dict[str, Any], schema: Schema) -> None:
        self._template = template
        self._schema = schema
        self._resources: dict[str, Any] = template.get("Resources", {})
        self._parameters: dict[str, Any] = template.get("Parameters", {})

    def problems(self) -> Iterator[Problem]:
        for section in self._template.keys() - SECTIONS:
            yield Problem(section, f"unknown section; ROS knows {', '.join(sorted(SECTIONS))}")
        if self._template.get("ROSTemplateFormatVersion") != "2015-09-01":
            yield Problem("ROSTemplateFormatVersion", "must be 2015-09-01")
        for logical_id, resource in self._resources.items():
            yield from self._resource(f"Resources.{logical_id}", resource)
        for key, output in self._template.get("Outputs", {}).items():
            yield from self._references(f"Outputs.{key}.Value", output.get("Value"))
        yield from self._cycles()
        used = {
            argument
            for function, argument in references([self._resources, self._template.get("Outputs")])
            if function == "Ref"
        }
        used |= {name for name in self._parameters if f"${{{name}}}" in str(self._resources)}
        for parameter in self._parameters.keys() - used:
            yield Problem(f"Parameters.{parameter}", "is declared and never used")

    def _resource(self, path: str, resource: dict[str, Any]) -> Iterator[Problem]:
        for key in resource.keys() - RESOURCE_KEYS:
            yield Problem(f"{path}.{key}", f"a resource has only {', '.join(sorted(RESOURCE_KEYS))}")
        ros_type = self._schema.types.get(resource.get("Type", ""))
        if ros_type is None:
            yield Problem(
                f"{path}.Type", f"{resource.get('Type')} is not in schema.json; add it with aliyun/extract.py"
            )
            return
        for name in resource.get("DependsOn", ()):
            if name not in self._resources:
                yield Problem(f"{path}.DependsOn", f"there is no resource {name}")
        properties = resource.get("Properties", {})
        yield from _object(f"{path}.Properties", properties, ros_type.properties)
        yield from self._references(f"{path}.Properties", properties)

    def _references(self, path: str, value: object) -> Iterator[Problem]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if len(value) == 1 and (key == "Ref" or str(key).startswith("Fn::")):
                    yield from self._function(path, str(key), inner)
                yield from self._references(path if str(key).startswith("Fn::") else f"{path}.{key}", inner)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._references(f"{path}[{index}]", inner)

    def _function(self, path: str, function: str, argument: Any) -> Iterator[Problem]:
        if function not in FUNCTIONS:
            yield Problem(path, f"{function} is not a function that ROS knows")
        elif function == "Ref":
            yield from self._target(path, argument)
        elif function == "Fn::GetAtt":
            yield from self._attribute(path, argument)
        elif function == "Fn::Sub":
            text, values = argument if isinstance(argument, list) else (argument, {})
            for name in _VARIABLE.findall(text):
                if name in values:
                    continue
                if "." in name:
                    yield from self._attribute(path, name.split(".", 1))
                else:
                    yield from self._target(path, name)

    def _target(self, path: str, name: object) -> Iterator[Problem]:
        if name not in self._resources and name not in self._parameters and name not in PSEUDO:
            yield Problem(path, f"refers to {name}, which is neither a resource nor a parameter of this template")

    def _attribute(self, path: str, argument: Any) -> Iterator[Problem]:
        if not isinstance(argument, list) or len(argument) != 2:
            yield Problem(path, "Fn::GetAtt takes a list of a resource and an attribute")
            return
        logical_id, name = argument
        resource = self._resources.get(logical_id)
        if resource is None:
            yield Problem(path, f"refers to {logical_id}, which is no resource of this template")
            return
        ros_type: ResourceType | None = self._schema.types.get(resource.get("Type", ""))
        if ros_type is not None and name not in ros_type.attributes:
            known = ", ".join(sorted(ros_type.attributes)) or "none"
            yield Problem(path, f"{resource['Type']} has no attribute {name}; it has {known}")

    def _cycles(self) -> Iterator[Problem]:
        edges = {logical_id: self._needs(resource) for logical_id, resource in self._resources.items()}
        settled: set[str] = set()
        while ready := {name for name in edges.keys() - settled if edges[name] <= settled}:
            settled |= ready
        for name in sorted(edges.keys() - settled):
            yield Problem(f"Resources.{name}", "is part of a circle of references")

    def _needs(self, resource: dict[str, Any]) -> set[str]:
        needs = set(resource.get("DependsOn", ()))
        for function, argument in references(resource.get("Properties", {})):
            if function == "Ref":
                needs.add(argument)
            elif function == "Fn::GetAtt" and isinstance(argument, list):
                needs.add(argument[0])
            elif function == "Fn::Sub":
                text = argument[0] if isinstance(argument, list) else argument
                needs |= {name.split(".")[0] for name in _VARIABLE.findall(text)}
        return needs & self._resources.keys()


def _object(path: str, value: dict[str, Any], shapes: dict[str, Shape]) -> Iterator[Problem]:
    for name in value.keys() - shapes.keys():
        yield Problem(f"{path}.{name}", f"unknown property; known are {', '.join(sorted(shapes))}")
    for name, shape in shapes.items():
        if name in value:
            yield from _value(f"{path}.{name}", value[name], shape)
        elif shape.required:
            yield Problem(f"{path}.{name}", "is required and missing")


def _value(path: str, value: Any, shape: Shape) -> Iterator[Problem]:
    if is_function(value) or shape.type == "any":
        return
    if not _fits(value, shape.type):
        yield Problem(path, f"must be a {shape.type}, and is {type(value).__name__}")
        return
    if shape.type == "object":
        yield from _object(path, value, shape.properties)
    elif shape.type == "list" and shape.items is not None:
        for index, inner in enumerate(value):
            yield from _value(f"{path}[{index}]", inner, shape.items)
    elif shape.type == "map" and shape.items is not None:
        for key, inner in value.items():
            yield from _value(f"{path}.{key}", inner, shape.items)
    yield from _bounds(path, value, shape)


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "map": (dict,),
    "object": (dict,),
}


def _fits(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PYTHON_TYPES[kind])


def _bounds(path: str, value: Any, shape: Shape) -> Iterator[Problem]:
    if shape.enum and value not in shape.enum:
        yield Problem(path, f"{value!r} is not one of {', '.join(map(repr, shape.enum))}")
    if shape.min is not None and isinstance(value, int | float) and value < shape.min:
        yield Problem(path, f"{value} is below {shape.min:g}")
    if shape.max is not None and isinstance(value, int | float) and value > shape.max:
        yield Problem(path, f"{value} is above {shape.max:g}")
    if shape.pattern is not None and isinstance(value, str) and not re.search(shape.pattern, value):
        yield Problem(path, f"{value!r} does not match {shape.pattern}")
    if shape.length is not None and isinstance(value, str | list):
        low, high = shape.length
        if len(value) < (low or 0) or len(value) > (len(value) if high is None else high):
            yield Problem(path, f"has length {len(value)}, allowed are {low or 0} to {high or 'any number'}")
