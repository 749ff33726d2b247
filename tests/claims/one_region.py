"""One region as a process of its own, for the test that runs both side by side: `python -m tests.claims.one_region`.

Reads one JSON line (`Orders`) from standard input, serves, and writes one JSON line (`Serving`); then reads the other region's
key, tries what must be refused, writes what came of it (`Tried`), and stops. What the system wrote stays in its folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import msgspec

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.upstreams.scripted import ScriptedUpstream


class Orders(msgspec.Struct, frozen=True):
    """What to run, and what to plant in it."""

    region: str
    folder: str
    credential: str
    key_name: str
    prompt: str
    models: list[str]
    """Of this region, one for each provider."""
    providers: list[str]
    foreign_model: str
    foreign_provider: str


class Serving(msgspec.Struct, frozen=True):
    """The region's key, and the status of each request with it."""

    key: str
    statuses: list[int]


class Tried(msgspec.Struct, frozen=True):
    """What the region answered to what belongs to the other one, and all that its providers were sent."""

    refusals: list[tuple[int, str, bool]]
    """Status, code, and whether it was said in Chinese."""
    statuses: list[int]
    upstream: str
    requests_upstream: int


def _client(system: LocalSystem, key: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=system.url, headers=headers, timeout=30, trust_env=False)


def _converse(system: LocalSystem, key: str, orders: Orders) -> list[int]:
    """Every model in several dialects, streamed and not; then what a customer looks at."""
    statuses = []
    assert system.payments is not None
    with _client(system, key) as client:
        for model in orders.models:
            messages = [{"role": "user", "content": orders.prompt}]
            for stream in (False, True):
                body = {"model": model, "messages": messages, "stream": stream, "max_tokens": 50}
                statuses += [
                    client.post(path, json=body).status_code for path in ("/v1/chat/completions", "/v1/messages")
                ]
                responses = {"model": model, "input": orders.prompt, "stream": stream}
                statuses.append(client.post("/v1/responses", json=responses).status_code)
        paths = ["/v1/models", "/v1/key", f"{system.admin_url}/openapi.json", f"{system.payments.url}/orders"]
        paths += [f"{system.site_url}/trust", f"{system.site_url}/docs"]
        statuses.append(client.post(f"{system.payments.url}/topups", json={"amount_minor": 2_000}).status_code)
        return [*statuses, *(client.get(path).status_code for path in paths)]


def _try_foreign(system: LocalSystem, key: str, other_key: str, orders: Orders) -> list[tuple[int, str, bool]]:
    """The other region's key, model and provider."""
    messages = [{"role": "user", "content": orders.prompt}]
    here = {"model": orders.models[0], "messages": messages}
    tries = [
        (other_key, here),
        (key, {**here, "model": orders.foreign_model}),
        (key, {**here, "provider": {"only": [orders.foreign_provider]}}),
    ]
    refusals = []
    for presented, body in tries:
        with _client(system, presented) as client:
            answer = client.post("/v1/chat/completions", json=body)
        error = answer.json().get("error", {})
        chinese = any("\u4e00" <= character <= "\u9fff" for character in error.get("message", ""))
        refusals.append((answer.status_code, str(error.get("code")), chinese))
    return refusals


def main() -> int:
    """Run one region from its orders to its end."""
    orders = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    with ScriptedUpstream() as upstream:
        options = Options(
            region=orders.region,
            port=0,
            model=False,
            addresses=dict.fromkeys(orders.providers, f"{upstream.url}/v1"),
            credentials=dict.fromkeys(orders.providers, orders.credential),
            durable=False,
            log_level="debug",
            payments=True,
            site=True,
        )
        system = LocalSystem(Home(Path(orders.folder) / orders.region), options)
        system.start()
        try:
            access = Access.open(system.home)
            access.ensure_tenant()
            key = access.create_key(orders.key_name)
            access.close()
            _tell(Serving(key, _converse(system, key, orders)))
            other_key = sys.stdin.readline().strip()
            refusals = _try_foreign(system, key, other_key, orders)
            statuses = _converse(system, key, orders)
            seen = [msgspec.json.encode((item.headers, item.body.decode())).decode() for item in upstream.received]
            _tell(Tried(refusals, statuses, "\n".join(seen), len(seen)))
        finally:
            system.stop()
    return 0


def _tell(what: Serving | Tried) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
