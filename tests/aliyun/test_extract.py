"""The extractor reads the vendor's generated code; the schema that is committed has what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from aliyun.extract import PACKAGES, Generated, extract
from aliyun.schema import PATH, Shape, load

# Made up, in the form of the vendor's generated code.
SOURCE = """
function RosThingPropsValidator(properties) {
    errors.collect(ros.propertyValidator('size', ros.requiredValidator)(properties.size));
    if (properties.size && (typeof properties.size) !== 'object') {
        errors.collect(ros.propertyValidator('size', ros.validateRange)({
            data: properties.size,
            min: 1,
            max: 2.5,
        }));
    }
    errors.collect(ros.propertyValidator('size', ros.validateNumber)(properties.size));
    errors.collect(ros.propertyValidator('kind', ros.validateAllowedValues)({
            data: properties.kind,
            allowedValues: ["a", true, 3],
        }));
    errors.collect(ros.propertyValidator('kind', ros.validateString)(properties.kind));
    errors.collect(ros.propertyValidator('parts', ros.listValidator(RosThing_PartsPropertyValidator))(properties.parts));
    errors.collect(ros.propertyValidator('label', ros.validateAllowedPattern)({
            data: properties.label,
            reg: /^[a-z]{2}$/
        }));
    errors.collect(ros.propertyValidator('tags', ros.hashValidator(ros.validateAny))(properties.tags));
}
function rosThingPropsToRosTemplate(properties, enableResourcePropertyConstraint) {
    return {
        'Size': ros.numberToRosTemplate(properties.size),
        'KIND': ros.stringToRosTemplate(properties.kind),
        'Parts': ros.listMapper(rosThingPartsPropertyToRosTemplate)(properties.parts),
        'Label': ros.stringToRosTemplate(properties.label),
        'Tags': ros.hashMapper(ros.objectToRosTemplate)(properties.tags),
    };
}
function RosThing_PartsPropertyValidator(properties) {
    errors.collect(ros.propertyValidator('name', ros.validateLength)({
            data: properties.name.length,
            min: undefined,
            max: 9,
        }));
}
function rosThingPartsPropertyToRosTemplate(properties) {
    return {
      'Name': ros.stringToRosTemplate(properties.name),
    };
}
class RosThing extends ros.RosResource {
    constructor() {
        this.attrId = this.getAtt('Id');
    }
}
RosThing.ROS_RESOURCE_TYPE_NAME = "ALIYUN::X::Thing";
"""


def test_properties_bounds_and_attributes_are_read() -> None:
    assert Generated(SOURCE).describe("ALIYUN::X::Thing") == {
        "properties": {
            "KIND": {"enum": ["a", True, 3], "type": "string"},
            "Label": {"pattern": "^[a-z]{2}$"},
            "Parts": {"type": "list", "items": {"type": "object", "properties": {"Name": {"length": [None, 9]}}}},
            "Size": {"required": True, "min": 1, "max": 2.5, "type": "number"},
            "Tags": {"type": "map", "items": {"type": "any"}},
        },
        "attributes": ["Id"],
    }


def test_code_of_another_form_is_refused_and_not_guessed() -> None:
    with pytest.raises(ValueError, match="no longer looks as expected"):
        Generated(SOURCE.replace("allowedValues: [", "values: [")).describe("ALIYUN::X::Thing")


def test_the_committed_schema_names_its_sources() -> None:
    schema = load()
    assert set(schema.packages) == set(PACKAGES)
    assert "Apache License 2.0" in schema.notice
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in schema.packages.values())


@pytest.mark.skipif("THEROUTER_ROS_WHEELS" not in os.environ, reason="THEROUTER_ROS_WHEELS names no folder of wheels")
def test_the_committed_schema_is_what_the_wheels_say() -> None:
    extracted = extract(Path(os.environ["THEROUTER_ROS_WHEELS"]))
    assert msgspec.json.decode(PATH.read_bytes()) == msgspec.json.decode(msgspec.json.encode(extracted))


def test_every_pattern_of_the_schema_compiles() -> None:
    def patterns(shapes: dict[str, Shape]) -> list[str]:
        found = [shape.pattern for shape in shapes.values() if shape.pattern]
        for shape in shapes.values():
            found += patterns(shape.properties)
            found += patterns({"": shape.items}) if shape.items else []
        return found

    collected = [pattern for ros_type in load().types.values() for pattern in patterns(ros_type.properties)]
    assert collected
    assert all(re.compile(pattern) for pattern in collected)
