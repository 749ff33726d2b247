"""`python -m aliyun synth|check|deploy|secrets|differences`: the China region's infrastructure from the command line.

Values that nobody may read back come from the environment (see `deploy.environment_name`), as does the deploying identity
(ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN).
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from aliyun import DIFFERENCES, app, check, rules
from aliyun.base import RouterStack
from aliyun.client import KMS_ENDPOINT, ROS_ENDPOINT, CloudError, Kms, Ros
from aliyun.deploy import DeployError, Deployment, environment_name
from aliyun.reading import SettingError
from aliyun.region import build_region
from aliyun.secrets import PLACEHOLDER
from aliyun.settings import REGION, ROUTER_REGION, Settings, parse
from aliyun.values import PLACEHOLDER_VALUE, put_values
from handlers.catalog.loading import load_catalog
from handlers.clouds.acs3 import Credentials
from stacks.policy import PolicyError

EXAMPLE = Path(__file__).with_name("example.toml")


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run one command; 0 done, 1 found something or failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options, environment)
    except (SettingError, PolicyError, DeployError, CloudError) as refused:
        _say(f"refused: {refused}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aliyun", description="The China region on Alibaba Cloud.")
    parser.add_argument(
        "command",
        choices=sorted(_COMMANDS),
        help="what to do",
    )
    parser.add_argument("--settings", type=Path, default=Path(".aliyun.toml"), help="the operator's values (TOML)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one value, over the file's")
    parser.add_argument("--image", help="short for --set image=...")
    parser.add_argument("--region", default=REGION, choices=[REGION], help="there is only one")
    parser.add_argument("--out", type=Path, default=Path("aliyun.out"), help="where synth writes")
    parser.add_argument("--new-values", action="store_true", help="deploy, secrets: pass the values anew")
    parser.add_argument("--values", type=Path, help="secrets: a folder with one 0600 file for each secret")
    parser.add_argument("--ros-endpoint", default=ROS_ENDPOINT, help=argparse.SUPPRESS)
    parser.add_argument("--kms-endpoint", default=KMS_ENDPOINT, help=argparse.SUPPRESS)
    return parser


def _settings(options: argparse.Namespace, *, example: bool) -> Settings:
    """The operator's values; for looking only, the example's when there are none."""
    path: Path = options.settings
    if not path.exists():
        if not example:
            raise SettingError(f"{path} does not exist: copy {EXAMPLE} to it and put your own values")
        path = EXAMPLE
    try:
        values: dict[str, object] = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f'{path} is not TOML: write lines such as domain = "api.example.cn"') from error
    for text in [*options.set, *([f"image={options.image}"] if options.image else [])]:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingError(f"--set {text}: write NAME=VALUE")
        values[name] = value
    return parse(values, load_catalog(ROUTER_REGION).providers)


def _synth(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    for path in app.write(_settings(options, example=True), options.out):
        _say(f"{path}")
    return 0


def _check(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    settings = _settings(options, example=True)
    templates = app.templates(settings)
    findings = [
        finding
        for name, template in templates.items()
        for finding in (*check.check(name, template), *rules.judge(name, template, settings))
    ]
    for finding in findings:
        _say(str(finding))
    resources = sum(len(template["Resources"]) for template in templates.values())
    _say(f"{len(templates)} templates, {resources} resources, {len(findings)} mistakes")
    return 1 if findings else 0


def _deploy(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    settings = _settings(options, example=False)
    if _check(options, environment):
        return 1
    stacks = build_region(settings).stacks
    ros = Ros(_credentials(environment), endpoint=options.ros_endpoint)
    try:
        outputs = Deployment(
            ros=ros, operator_values=_operator_values(stacks, environment), show=_say, new_values=options.new_values
        ).run(stacks)
    finally:
        ros.close()
    for stack, values in outputs.items():
        for key, value in sorted(values.items()):
            _say(f"{stack}.{key} = {value}")
    return 0


def _secrets(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Put the values of a folder into the containers that the deployment made."""
    settings = _settings(options, example=False)
    if options.values is None:
        raise DeployError("--values is missing: name the folder that holds one 0600 file for each secret")
    kms = Kms(_credentials(environment), endpoint=options.kms_endpoint)
    try:
        missing = put_values(kms, settings, options.values, show=_say, anew=options.new_values)
    finally:
        kms.close()
    for name in missing:
        _say(f"{name}: no file; its rooms will not start until it has a value")
    return 1 if missing else 0


def _differences(_options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """The table of differences from the other cloud, in Markdown."""
    _say("| intention | AWS | Aliyun | difference | why acceptable |")
    _say("|---|---|---|---|---|")
    for row in DIFFERENCES:
        _say(f"| {' | '.join(row[:5])} |")
    return 0


def _operator_values(stacks: Sequence[RouterStack], environment: Mapping[str, str]) -> dict[str, str]:
    """Those NoEcho parameters that the environment has; the placeholder of new secrets is no secret."""
    names = {name for stack in stacks for name, body in stack.template()["Parameters"].items() if body.get("NoEcho")}
    found = {name: environment[environment_name(name)] for name in names if environment.get(environment_name(name))}
    return {PLACEHOLDER: PLACEHOLDER_VALUE, **found}


def _credentials(environment: Mapping[str, str]) -> Credentials:
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise DeployError(f"{' and '.join(missing)} are not set: give the deploying identity's access key")
    key_id, secret = (environment[name] for name in names)
    return Credentials(key_id, secret, environment.get("ALIBABA_CLOUD_SECURITY_TOKEN", ""))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


_COMMANDS = {
    "synth": _synth,
    "check": _check,
    "deploy": _deploy,
    "secrets": _secrets,
    "differences": _differences,
}

if __name__ == "__main__":
    sys.exit(main())
