"""The deployed function: `handler(event, context)` answers one ALB event for everything that no other room has.

The room reads no database and no secret. What it shows is in its package: texts, inventory, and the report of the test run
that `therouter claims` wrote before the package was built.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from handlers.clouds.resolver import IsolatedResolver
from handlers.settings import Deployment, SettingError, Variable
from handlers.site.proofs import read_report
from handlers.site.routes import Site, open_resolver
from handlers.telemetry.logs import Level, Log

PLATFORMS = ("AWS_LAMBDA_FUNCTION_NAME", "FC_FUNCTION_NAME")
"""Set by Lambda and by Function Compute: there a wrong setting fails the deployment and not a reader."""


def open_deployed_room(environment: Mapping[str, str]) -> IsolatedResolver:
    """The room of these settings; SettingError names the one that is missing or wrong."""
    deployment = Deployment.parse(environment)
    public_url = environment.get(Variable.PUBLIC_URL, "").strip()
    if not public_url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise SettingError(
            f"{Variable.PUBLIC_URL} must be the https address that clients type, as in https://api.example.com"
        )
    log = Log(Level(deployment.log_level))
    return open_resolver(Site(region=deployment.region, public_url=public_url, report=read_report(), log=log))


@functools.cache
def resolver() -> IsolatedResolver:
    """The room of this process."""
    return open_deployed_room(os.environ)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer one ALB event."""
    return resolver().resolve(event, context)


if any(name in os.environ for name in PLATFORMS):
    resolver()
