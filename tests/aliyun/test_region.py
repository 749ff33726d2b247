"""The wiring: what one stack uses an earlier one shows, within ROS's limits, in every stage, the same each time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aliyun import app
from aliyun.base import RouterStack
from aliyun.check import check
from aliyun.network import PURPOSES, cidr
from aliyun.region import build_region
from aliyun.rules import judge
from aliyun.settings import Settings, parse
from handlers.catalog.loading import load_catalog
from handlers.settings import EDGE_HEADERS
from handlers.workloads import Kind
from tests.aliyun.conftest import PROVIDERS

TEMPLATE_BYTES_MAX = 524_288
"""What CreateChangeSet takes."""
PARAMETERS_MAX = 200
OUTPUTS_MAX = 200
RESOURCES_MAX = 300


def properties(stack: RouterStack, kind: str) -> dict[str, dict[str, Any]]:
    rows = stack.template()["Resources"].items()
    return {name: row["Properties"] for name, row in rows if row["Type"] == f"ALIYUN::{kind}"}


def test_what_a_stack_uses_an_earlier_one_shows(settings: Settings) -> None:
    shown: dict[str, set[str]] = {}
    for stack in build_region(settings).stacks:
        for used in stack.imports.values():
            assert used.key in shown[used.stack], (stack.name, used)
        shown[stack.name] = set(stack.template()["Outputs"])


def test_synthesis_is_the_same_byte_for_byte(settings: Settings, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in app.write(settings, tmp_path / "a")}
    assert first == {path.name: path.read_bytes() for path in app.write(settings, tmp_path / "b")}
    assert list(first) == [f"{stack.name}.json" for stack in build_region(settings).stacks]


@pytest.mark.parametrize("stage", ["production", "staging", "small"])
def test_every_stage_with_the_whole_catalogue_is_correct_and_within_ros_limits(
    stage: str, context: dict[str, object]
) -> None:
    settings = parse({**context, "stage": stage}, load_catalog("china").providers)
    for name, template in app.templates(settings).items():
        assert [*check(name, template), *judge(name, template, settings)] == []
        assert len(msgspec.json.encode(template)) < TEMPLATE_BYTES_MAX, name
        assert len(template["Parameters"]) <= PARAMETERS_MAX, name
        assert len(template["Outputs"]) <= OUTPUTS_MAX, name
        assert len(template["Resources"]) <= RESOURCES_MAX, name


def test_networks_do_not_overlap() -> None:
    from ipaddress import IPv4Network  # noqa: PLC0415 - here alone

    networks = [IPv4Network(cidr(purpose, zone)) for purpose in PURPOSES for zone in range(3)]
    assert not any(a.overlaps(b) for index, a in enumerate(networks) for b in networks[index + 1 :])


@pytest.mark.claim("C57", "C58")
def test_c57_the_gateways_networks_are_the_one_source_that_the_database_admits(
    stacks: dict[str, RouterStack],
) -> None:
    (database,) = properties(stacks["database"], "RDS::DBInstance").values()
    rows = {purpose.name: purpose for purpose in PURPOSES}
    allowed = {cidr(rows[name], zone) for name in ("gateway",) for zone in range(3)}
    assert set(database["SecurityIPList"].split(",")) == allowed


@pytest.mark.claim("C23", "C35")
def test_c23_provider_and_gateway_networks_have_no_way_out(stacks: dict[str, RouterStack]) -> None:
    sources = [
        source["Ref"]
        for row in properties(stacks["network"], "VPC::SnatEntry").values()
        for source in row["SourceVSwitchIds"]
    ]
    assert sorted(sources) == sorted(f"{name}Switch{zone}" for name in ("Function", "Relay") for zone in range(3))


@pytest.mark.claim("C20", "C35", "C49")
def test_c35_each_providers_role_reads_its_own_secrets_alone(stacks: dict[str, RouterStack]) -> None:
    roles = properties(stacks["cluster"], "RAM::Role")
    for slug in PROVIDERS:
        title = f"Provider{slug.capitalize()}"
        reading, decrypting = roles[f"{title}Role"]["Policies"][0]["PolicyDocument"]["Statement"]
        names = {arn["Ref"] for arn in reading["Resource"]}
        assert names == {f"Secrets{kind}{slug.capitalize()}SecretArn" for kind in ("Provider", "Seal", "Wire")}
        assert {arn["Ref"] for arn in decrypting["Resource"]} <= {
            f"Secrets{slug.capitalize()}KeyArn",
            "SecretsEnvironmentKeyArn",
        }


@pytest.mark.claim("C34", "C35")
def test_c35_no_two_providers_share_a_key(stacks: dict[str, RouterStack]) -> None:
    secrets = properties(stacks["secrets"], "KMS::Secret")
    keys = {
        slug: secrets[f"Provider{slug.capitalize()}Secret"]["EncryptionKeyId"]["Fn::GetAtt"][0] for slug in PROVIDERS
    }
    assert len(set(keys.values())) == len(PROVIDERS)
    assert "EnvironmentKey" not in keys.values()


@pytest.mark.claim("C53")
def test_c53_the_payment_companys_secret_is_the_payments_functions_alone(stacks: dict[str, RouterStack]) -> None:
    readers = [
        name
        for stack in ("secrets", "cluster")
        for name, role in properties(stacks[stack], "RAM::Role").items()
        if "PaymentsWechatSecret" in str(role["Policies"])
    ]
    assert readers == ["PaymentsRole"]


def test_every_workload_runs_once(settings: Settings, stacks: dict[str, RouterStack]) -> None:
    functions = [
        row["Handler"]
        for name in ("functions", "jobs", "recovery")
        for row in properties(stacks[name], "FC3::Function").values()
    ]
    assert sorted(functions) == sorted(row.entry for row in settings.workloads if row.kind is Kind.FUNCTION)
    applied = set(properties(stacks["workloads"], "CS::ClusterApplication"))
    pods = {
        "".join(part.capitalize() for part in row.name.split("-")) for row in settings.workloads if row.kind is Kind.POD
    }
    assert applied == pods | {"Base", "Routes"}


@pytest.mark.claim("C72")
def test_c72_an_unanswered_probe_reaches_the_watchdog(stacks: dict[str, RouterStack]) -> None:
    (target,) = properties(stacks["watchdog"], "CMS::MetricRuleTargets").values()
    assert target["Targets"][0]["Arn"] == {"Ref": "RecoveryWatchdogArn"}
    assert stacks["recovery"].template()["Outputs"]["WatchdogArn"]["Value"] == {
        "Fn::GetAtt": ["WatchdogFunction", "ARN"]
    }


def test_everything_that_can_carry_tags_does(stacks: dict[str, RouterStack]) -> None:
    for stack in stacks.values():
        for name, row in stack.template()["Resources"].items():
            if "Tags" in row["Properties"]:
                assert "therouter:stage" in str(row["Properties"]["Tags"]), name


def test_the_admin_function_alone_is_told_who_vouches_for_people(stacks: dict[str, RouterStack]) -> None:
    told: dict[str, dict[str, str]] = {}
    for stack in stacks.values():
        for row in stack.template()["Resources"].values():
            if row["Type"] == "ALIYUN::FC3::Function":
                variables = row["Properties"]["EnvironmentVariables"]
                doors = {name: value for name, value in variables.items() if re.search("ISSUER|SCANNING|MAIL", name)}
                told[row["Properties"]["FunctionName"].removeprefix("therouter-production-")] = doors
    admin = told.pop("admin")
    assert (admin["THEROUTER_ISSUER"], admin["THEROUTER_SCANNING_KEYS"]) == ("https://login.example.cn", "")
    assert admin["THEROUTER_ISSUER_GROUPS"] == "founders=owner,finance=billing"
    assert told.pop("spending") == {"THEROUTER_MAIL": admin["THEROUTER_MAIL"]}
    assert not any(told.values())


def test_two_roles_may_send_notices_and_nothing_else_of_direct_mail(stacks: dict[str, RouterStack]) -> None:
    senders = {
        row["Properties"]["RoleName"]: statement["Action"]
        for row in stacks["secrets"].template()["Resources"].values()
        if row["Type"] == "ALIYUN::RAM::Role"
        for policy in row["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("dm:") for action in statement["Action"])
    }
    assert set(senders) == {"therouter-production-admin", "therouter-production-spending"}
    assert all(actions == ["dm:SingleSendMail"] for actions in senders.values())


def test_the_edge_writes_where_a_client_is_over_what_the_client_wrote(stacks: dict[str, RouterStack]) -> None:
    (rule,) = [
        row["Properties"]
        for row in stacks["edge"].template()["Resources"].values()
        if row["Type"] == "ALIYUN::ESA::HttpRequestHeaderModificationRule"
    ]
    assert {
        "Name": EDGE_HEADERS["china"], "Operation": "modify", "Type": "dynamic", "Value": "ip.src",
    } in rule["RequestHeaderModification"]  # fmt: skip
    assert rule["Rule"] == "true"
