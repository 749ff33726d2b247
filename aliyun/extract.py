"""Extract `schema.json` from the vendor's own ROS CDK packages; a developer's tool, run by hand when a type is added.

    pip download --no-deps --dest WHEELS ros-cdk-rds==1.15.0 ...     (the packages: see PACKAGES)
    python -m aliyun.extract WHEELS

Theory of operation
    Those packages cannot be installed beside the AWS CDK (they pin an old jsii), and need not be: each wheel carries generated
    JavaScript in which one function per resource type names its properties and another states what each may hold.

        function RosXPropsValidator(properties)       propertyValidator('port', ros.validateRange)({ data: .., min: 1, max: 65535 })
        function rosXPropsToRosTemplate(properties)   'Port': ros.numberToRosTemplate(properties.port),
        class RosX                                    this.attrId = this.getAtt('Id');

    Both functions are regular enough for regular expressions. What comes out are facts about an interface; the packages are
    Apache-2.0, and the file names them, their versions and their licence.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from aliyun.schema import PATH

NOTICE = (
    "Facts about ALIYUN:: resource types (names, types, enumerations, ranges, attributes), extracted by aliyun/extract.py from "
    "the packages below, Copyright (C) Alibaba Cloud Computing, Apache License 2.0, "
    "https://github.com/aliyun/Resource-Orchestration-Service-Cloud-Development-Kit"
)
TYPES = (
    "ALIYUN::ACTIONTRAIL::Trail",
    "ALIYUN::ACTIONTRAIL::TrailLogging",
    "ALIYUN::ALB::BackendServerAttachment",
    "ALIYUN::ALB::LoadBalancer",
    "ALIYUN::ALB::ServerGroup",
    "ALIYUN::CMS::Contact",
    "ALIYUN::CMS::ContactGroup",
    "ALIYUN::CMS::EventRule",
    "ALIYUN::CMS::EventRuleTargets",
    "ALIYUN::CMS::MetricRuleTargets",
    "ALIYUN::CMS::ResourceMetricRule",
    "ALIYUN::CMS::SiteMonitor",
    "ALIYUN::CR::Namespace",
    "ALIYUN::CR::Repository",
    "ALIYUN::CS::ClusterApplication",
    "ALIYUN::CS::ClusterNodePool",
    "ALIYUN::CS::ManagedKubernetesCluster",
    "ALIYUN::DNS::DomainRecord",
    "ALIYUN::ECS::SecurityGroup",
    "ALIYUN::ECS::VPC",
    "ALIYUN::ECS::VSwitch",
    "ALIYUN::ESA::CacheRule",
    "ALIYUN::ESA::Certificate",
    "ALIYUN::ESA::CustomResponseCodeRule",
    "ALIYUN::ESA::HttpRequestHeaderModificationRule",
    "ALIYUN::ESA::HttpResponseHeaderModificationRule",
    "ALIYUN::ESA::HttpsApplicationConfiguration",
    "ALIYUN::ESA::HttpsBasicConfiguration",
    "ALIYUN::ESA::NetworkOptimization",
    "ALIYUN::ESA::OriginProtection",
    "ALIYUN::ESA::OriginRule",
    "ALIYUN::ESA::Page",
    "ALIYUN::ESA::Record",
    "ALIYUN::ESA::Site",
    "ALIYUN::ESA::SiteDeliveryTask",
    "ALIYUN::ESA::WafRule",
    "ALIYUN::FC3::ConcurrencyConfig",
    "ALIYUN::FC3::Function",
    "ALIYUN::FC3::Trigger",
    "ALIYUN::KMS::Alias",
    "ALIYUN::KMS::Instance",
    "ALIYUN::KMS::Key",
    "ALIYUN::KMS::Secret",
    "ALIYUN::NLB::LoadBalancer",
    "ALIYUN::NLB::SecurityGroupAttachment",
    "ALIYUN::OOS::Parameter",
    "ALIYUN::OSS::Bucket",
    "ALIYUN::OSS::BucketWorm",
    "ALIYUN::RAM::Role",
    "ALIYUN::RDS::DBInstance",
    "ALIYUN::RDS::DBInstanceParameterGroup",
    "ALIYUN::RDS::Database",
    "ALIYUN::SLS::Logstore",
    "ALIYUN::SLS::Project",
    "ALIYUN::VPC::EIP",
    "ALIYUN::VPC::EIPAssociation",
    "ALIYUN::VPC::FlowLog",
    "ALIYUN::VPC::NatGateway",
    "ALIYUN::VPC::SnatEntry",
    "ALIYUN::VPC::VpcGatewayEndpoint",
)
"""The types in use, and no others (tests/aliyun/test_check.py)."""
PACKAGES = sorted({f"ros-cdk-{name.split('::')[1].lower()}" for name in TYPES})

Shape = dict[str, Any]
"""One property: type, and where they exist required, enum, min, max, length, pattern, items, properties."""

_SCALARS = {
    "ros.validateString": "string",
    "ros.validateNumber": "number",
    "ros.validateBoolean": "boolean",
    "ros.validateAny": "any",
    "ros.validateAnyDict": "map",
    "ros.validateRosTag": "any",
}
_FUNCTION = re.compile(r"^function (\w+)\(properties.*?\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_CHECK = re.compile(r"propertyValidator\('(\w+)', (.+?)\)\((\{.*?\}|properties\.\w+)\)\);", re.DOTALL)
_NAME = re.compile(r"^\s+'([\w.-]+)': .*\(properties\.(\w+)\),?$", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+) extends ros\.RosResource \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_TYPE = re.compile(r'^(\w+)\.ROS_RESOURCE_TYPE_NAME = "(ALIYUN::[^"]+)";', re.MULTILINE)
_BOUND = re.compile(r"\b(min|max): (-?[\d.]+)")
_PATTERN = re.compile(r"reg: /(.*)/\w*\s*\}", re.DOTALL)
_ALLOWED = re.compile(r"allowedValues: (\[.*?\]),\n", re.DOTALL)


class Generated:
    """One package's generated JavaScript, read as a table of functions."""

    def __init__(self, source: str) -> None:
        self._functions = dict(_FUNCTION.findall(source))
        self._attributes = {
            name: sorted(set(re.findall(r"this\.getAtt\('(\w+)'\)", body))) for name, body in _CLASS.findall(source)
        }
        self.classes = {ros_type: name for name, ros_type in _TYPE.findall(source)}

    def describe(self, ros_type: str) -> Shape:
        """The shape of one resource type: its properties and attributes."""
        name = self.classes[ros_type]
        shape = {"properties": self._properties(f"{name}PropsValidator")}
        return {**shape, "attributes": self._attributes[name]}

    def _properties(self, validator: str) -> dict[str, Shape]:
        mapper = validator[0].lower() + validator[1:].removesuffix("Validator").replace("_", "", 1) + "ToRosTemplate"
        ros_names = {js: ros for ros, js in _NAME.findall(self._functions[mapper])}
        shapes: dict[str, Shape] = {ros: {} for ros in ros_names.values()}
        for js_name, rule, argument in _CHECK.findall(self._functions[validator]):
            shapes[ros_names[js_name]] |= self._constraint(rule, argument)
        return dict(sorted(shapes.items()))

    def _constraint(self, rule: str, argument: str) -> Shape:
        if rule == "ros.requiredValidator":
            return {"required": True}
        if rule == "ros.validateAllowedValues":
            return {"enum": _literal(_found(_ALLOWED, argument))}
        if rule == "ros.validateAllowedPattern":
            return {"pattern": _found(_PATTERN, argument)}
        bounds = {name: _number(value) for name, value in _BOUND.findall(argument)}
        if rule == "ros.validateRange":
            return bounds
        if rule == "ros.validateLength":
            return {"length": [bounds.get("min"), bounds.get("max")]}
        return self._type(rule)

    def _type(self, rule: str) -> Shape:
        if rule in _SCALARS:
            return {"type": _SCALARS[rule]}
        for prefix, kind in (("ros.listValidator(", "list"), ("ros.hashValidator(", "map")):
            if rule.startswith(prefix):
                return {"type": kind, "items": self._type(rule[len(prefix) : -1])}
        return {"type": "object", "properties": self._properties(rule)}


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        msg = f"the generated code no longer looks as expected: {pattern.pattern!r} is not in {text[:200]!r}"
        raise ValueError(msg)
    return match[1]


def _literal(javascript: str) -> list[Any]:
    """A JavaScript list of strings, numbers and booleans."""
    python = re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", javascript))
    values: list[Any] = ast.literal_eval(python)
    return values


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def read_wheel(path: Path) -> str:
    """The generated JavaScript in one wheel."""
    with zipfile.ZipFile(path) as wheel:
        bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))) as package:
            member = min(
                (n for n in package.getnames() if n.endswith(".generated.js")), key=len
            )  # not the data sources
            source = package.extractfile(member)
            return source.read().decode() if source else ""


def extract(folder: Path) -> dict[str, Any]:
    """The whole schema from a folder of wheels; raises KeyError for a type that no wheel describes."""
    packages: dict[str, str] = {}
    types: dict[str, Shape] = {}
    for path in sorted(folder.glob("ros_cdk_*.whl")):
        name, version = path.name.split("-")[:2]
        generated = Generated(read_wheel(path))
        wanted = [ros_type for ros_type in TYPES if ros_type in generated.classes]
        types |= {ros_type: generated.describe(ros_type) for ros_type in wanted}
        if wanted:
            packages[name.replace("_", "-")] = version
    return {"notice": NOTICE, "packages": packages, "types": {ros_type: types[ros_type] for ros_type in sorted(TYPES)}}


def main() -> int:
    """Write `schema.json` from the wheels in the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"usage: python -m aliyun.extract WHEELS\n  wheels of: {' '.join(PACKAGES)}\n")
        return 2
    schema = extract(Path(sys.argv[1]))
    lines = [f'  "{name}": {msgspec.json.encode(shape).decode()}' for name, shape in schema["types"].items()]
    head = msgspec.json.format(msgspec.json.encode({k: v for k, v in schema.items() if k != "types"})).decode()
    PATH.write_text(head.removesuffix("\n}") + ',\n  "types": {\n' + ",\n".join(lines) + "\n  }\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
