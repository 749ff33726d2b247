from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

PROJECT = Path(__file__).parents[2]
ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-2.amazonaws.com/therouter@sha256:{'ab' * 32}"
CONTEXT: dict[str, object] = {
    "account": ACCOUNT,
    "domain": "api.therouter.example",
    "zone_name": "therouter.example",
    "zone_id": "Z0123456789ABC",
    "alarm_email": "operators@therouter.example",
    "administrators": "Founder",
    "image": IMAGE,
    "issuer": "https://login.therouter.example",
    "issuer_groups": "founders=owner,finance=billing",
    "issuer_hosts": "tokens.therouter.example",
    "scanning_keys": "https://api.github.com/meta/public_keys/secret_scanning",
}

Template = dict[str, Any]


class Assembly:
    """What was synthesized: intention of a stack -> its template."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder = folder
        self.stage = stage
        self.templates: dict[str, Template] = {
            path.name.removesuffix(".template.json").rpartition("-")[2]: msgspec.json.decode(path.read_bytes())
            for path in sorted(folder.glob("*.template.json"))
        }

    def resources(self, kind: str, *intentions: str) -> list[Template]:
        """The resources of a type, in some stacks or in all."""
        wanted = [self.templates[name] for name in intentions] or list(self.templates.values())
        return [row for template in wanted for row in template["Resources"].values() if row["Type"] == kind]

    def properties(self, kind: str, *intentions: str) -> list[Template]:
        """Their properties."""
        return [row.get("Properties", {}) for row in self.resources(kind, *intentions)]


def load_app() -> Any:
    """The module app.py, which starts the CDK's engine."""
    # A developer's own context would win over the tests'.
    os.environ.pop("CDK_CONTEXT_JSON", None)
    if "app" not in sys.modules:
        spec = importlib.util.spec_from_file_location("app", PROJECT / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["app"] = module
        spec.loader.exec_module(module)
    return sys.modules["app"]


Synthesize = Callable[..., Assembly]


@pytest.fixture(scope="session")
def context() -> dict[str, object]:
    return dict(CONTEXT)


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesize with a changed context; `prepare` may add checkers to the app first."""

    def run(prepare: Callable[[Any], None] | None = None, **changed: object) -> Assembly:
        folder = tmp_path_factory.mktemp("assembly")
        app, _ = load_app().make_app({**CONTEXT, **changed}, outdir=str(folder))
        if prepare is not None:
            prepare(app)
        try:
            app.synth()
        except RuntimeError:
            # Checkers make synthesis raise; what they found is in the report, which is what a test reads.
            if prepare is None:
                raise
        return Assembly(folder, str(changed.get("stage", "production")))

    return run


@pytest.fixture(scope="session")
def staged(synthesize: Synthesize) -> Callable[[str], Assembly]:
    """The other stages, each synthesized once."""
    return functools.cache(lambda stage: synthesize(stage=stage))


@pytest.fixture(scope="session")
def production(synthesize: Synthesize) -> Assembly:
    """The one shared synthesis, with cdk-nag watching."""
    from aws_cdk import Validations  # noqa: PLC0415 - the engine starts only where it is needed
    from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415

    return synthesize(lambda app: Validations.of(app).add_plugins(AwsSolutionsChecks(app)))
