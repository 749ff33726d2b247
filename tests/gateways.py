"""Further gateway processes beside a running system: other deadlines, other ports.

`python -m tests.gateways '{...}'` is the gateway as it is built for production, with the times of a `Haste`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import uvloop

from handlers.catalog.entries import Catalog, Endpoint, Timeouts
from handlers.gateway import dispatch
from handlers.gateway.eligibility import Eligibility
from handlers.gateway.process import build, run
from handlers.hardening import harden_process
from handlers.local.postgres import free_port
from handlers.local.probes import answers
from handlers.local.processes import Child, plain_environment
from handlers.settings import GatewaySettings, Variable
from tests.system import RunningSystem


class Haste(msgspec.Struct, frozen=True):
    """What a gateway of the tests does differently."""

    timeouts: Timeouts | None = None
    """Of endpoints; None: the catalogue's."""
    providers: frozenset[str] = frozenset()
    """Whose endpoints they are of; empty: everybody's."""
    keep_alive_s: float = 0.0
    """Silence before a sign of life; 0: as in production."""
    token_lifetime_s: int = 0
    """Of the tokens on the wire; 0: as in production."""
    places: int = 0
    """Requests at one provider's pod at a time; 0: as in production."""


@dataclass
class ExtraGateway:
    """One more gateway process."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.child.start()
        self.child.await_ready(lambda: answers(f"{self.url}/readyz"))


@contextmanager
def extra_gateway(system: RunningSystem, haste: Haste, name: str = "extra") -> Iterator[ExtraGateway]:
    """A gateway over the same database and pods, with a spool and a port of its own."""
    local, port = system.local, free_port()
    spool = local.home.root / f"spool-{name}"
    spool.mkdir(mode=0o700, exist_ok=True)
    variables: dict[str, str] = {
        **local._deployment_variables(),
        **local._database_variables("gateway"),
        Variable.LISTEN: f"127.0.0.1:{port}",
        Variable.PROVIDERS: ",".join(local.enabled),
        Variable.WIRE: f"unix:{local.home.run}/{{provider}}.sock",
        Variable.SPOOL: str(spool),
        Variable.MODELS: str(local._models_file()),
    }
    command = [sys.executable, "-m", "tests.gateways", msgspec.json.encode(haste).decode()]
    gateway = ExtraGateway(
        Child(f"gateway {name}", command, plain_environment(variables), local.home.logs / f"gateway-{name}.log"), port
    )
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.child.stop()


def _hurried(catalog: Catalog, timeouts: Timeouts, providers: frozenset[str]) -> Catalog:
    replace = msgspec.structs.replace

    def hurry(endpoint: Endpoint) -> Endpoint:
        return endpoint if providers and endpoint.provider not in providers else replace(endpoint, timeouts=timeouts)

    models = {
        name: replace(model, endpoints=tuple(hurry(endpoint) for endpoint in model.endpoints))
        for name, model in catalog.models.items()
    }
    return replace(catalog, models=models)


async def _serve(haste: Haste) -> None:
    settings = GatewaySettings.parse()
    gateway, pool = build(settings)
    if haste.timeouts is not None:
        gateway.catalog = _hurried(gateway.catalog, haste.timeouts, haste.providers)
        gateway.eligibility = Eligibility(gateway.catalog, gateway.enabled)
    gateway.keep_alive_s = haste.keep_alive_s or gateway.keep_alive_s
    dispatch.TOKEN_LIFETIME_S = haste.token_lifetime_s or dispatch.TOKEN_LIFETIME_S
    for slug in settings.providers if haste.places else ():
        gateway.limits[slug].limit = haste.places
    await run(gateway, pool, settings)


if __name__ == "__main__":
    harden_process()
    uvloop.run(_serve(msgspec.json.decode(sys.argv[1], type=Haste)))
