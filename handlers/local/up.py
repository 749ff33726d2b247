"""`therouter up`: starts the whole system, says what to paste, watches it, and stops it on Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from handlers.catalog.elsewhere import hosts_elsewhere
from handlers.catalog.loading import load_catalog
from handlers.local.access import LOCAL_EMAIL, Access
from handlers.local.discovery import find_model_servers, foreign_keys_in_environment, keys_in_environment
from handlers.local.home import Home
from handlers.local.postgres_identity import PostgresFailed
from handlers.local.processes import Child, ProcessFailed
from handlers.local.rotation import renew_secrets
from handlers.local.system import LocalSystem, Options, PortBusy

WATCH_S = 0.5
RESTART_PAUSE_S = 1.0
QUICK_DEATHS_MAX = 5
MODEL_OF_REGION = {"global": "local/smollm2-135m", "china": "local/smollm2-135m"}


class _Stop(BaseException):
    """A signal asked us to stop."""


def up(options: argparse.Namespace) -> int:
    """Run until told to stop; 0 after a clean stop."""
    started_at = time.monotonic()

    def tell(what: str) -> None:
        print(f"  {time.monotonic() - started_at:5.1f} s  {what}", file=sys.stderr, flush=True)

    home = Home.of(options.region)
    system = LocalSystem(home, _options(options, tell), tell)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _on_signal)
    print(f"TheRouter ({options.region}) is starting; state is kept in {home.root}", file=sys.stderr)
    try:
        system.start()
        _say_how_to_use(system, home, new_key=options.new_key)
        _watch(system, tell)
    except _Stop:
        return 0
    except (ProcessFailed, PostgresFailed, PortBusy) as error:
        print(f"therouter: {error}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("stopping", file=sys.stderr)
        system.stop()
    return 0


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def _options(options: argparse.Namespace, tell: object) -> Options:
    catalog = load_catalog(options.region)
    credentials = keys_in_environment(catalog.providers)
    addresses: dict[str, str] = {}
    models: dict[str, list[str]] = {}
    for server in find_model_servers(elsewhere=hosts_elsewhere(options.region)):
        if server.provider in catalog.providers:
            addresses[server.provider] = server.base_url
            models[server.provider] = list(server.models)
    if callable(tell):
        for variable in foreign_keys_in_environment(options.region):
            tell(f"{variable} is set and not used: only the other region calls that provider (region_restricted)")
        for slug in credentials:
            tell(f"found {catalog.providers[slug].secret}: provider {slug} is enabled")
        for slug, names in models.items():
            tell(f"found {slug} at {addresses[slug]} with {len(names)} models")
    return Options(
        region=options.region,
        port=options.port,
        model=not options.no_model,
        credentials=credentials,
        addresses=addresses,
        models=models,
        payments=True,
        site=True,
        sign_in=True,
    )


def _say_how_to_use(system: LocalSystem, home: Home, *, new_key: bool) -> None:
    access = Access.open(home)
    try:
        is_new = access.ensure_tenant()
        token = access.create_key("first") if is_new or new_key else None
    finally:
        access.close()
    model = _example_model(system)
    key = token or "$THEROUTER_API_KEY"
    print(f"\nReady: {system.url}   models: {system.url}/v1/models   logs: {home.logs}\n")
    print(f"Admin API: {system.admin_url}   first key for it: therouter keys create --management --name NAME\n")
    print(f"Sign in as the owner: {system.admin_url}/sign-in?goal=/admin/me   (type {LOCAL_EMAIL})\n")
    print(f"Trust page: {system.site_url}/trust   API documentation: {system.site_url}/docs\n")
    if token:
        print(f"Your API key, shown once and stored only as a hash:\n\n  {token}\n")
    else:
        print(
            f"Use the API key that was printed at the first start, or make another: {_tool()} keys create --name NAME\n"
        )
    if model is None:
        print("No provider is enabled: set a provider key (such as OPENAI_API_KEY), or start without --no-model.\n")
        return
    print(
        f"""Try it:

  curl {system.url}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello in five words."}}]}}'

The same as a stream: add "stream": true, and -N to curl. With the OpenAI SDK:

  from openai import OpenAI
  client = OpenAI(base_url="{system.url}/v1", api_key="{key}")
  answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Say hello."}}])
  print(answer.choices[0].message.content)

Top up 20.00 and pay on the page that the answer names ({_where_to_pay(system)}; no money moves):

  curl {_payments_url(system)}/topups -H "Authorization: Bearer {key}" -d '{{"amount_minor": 2000}}'

Then: {_tool()} usage        Stop: Ctrl-C
""",
        flush=True,
    )


def _payments_url(system: LocalSystem) -> str:
    return system.payments.url if system.payments is not None else ""


def _where_to_pay(system: LocalSystem) -> str:
    return f"a stand-in at {system.payments.company_url}" if system.payments is not None else ""


def _tool() -> str:
    """How this person can type the command from here."""
    beside = Path(sys.executable).with_name("therouter")
    if not beside.exists():
        return "therouter"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def _example_model(system: LocalSystem) -> str | None:
    for model in system.catalog.models.values():
        for endpoint in model.endpoints:
            if endpoint.provider in system.enabled and endpoint.price and "chat" in endpoint.capabilities.operations:
                return MODEL_OF_REGION[system.options.region] if system.options.model else model.id
    return None


def _watch(system: LocalSystem, tell: object) -> None:
    """Start again what ends by itself; give up on what keeps ending."""
    deaths: dict[str, int] = {}
    renewals: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: renewals.append(number))  # `therouter rotate` asks for it
    while True:
        time.sleep(WATCH_S)
        if renewals:
            renewals.clear()
            renew_secrets(system)
        for child in system.children():
            if child.running:
                continue
            deaths[child.name] = deaths.get(child.name, 0) + 1 if time.monotonic() - child.started_at < 60 else 1
            if deaths[child.name] > QUICK_DEATHS_MAX:
                raise ProcessFailed(f"{child.name} ended {deaths[child.name]} times in a row; its log is {child.log}")
            if callable(tell):
                tell(f"{child.name} ended by itself; starting it again")
            _restart(system, child)


def _restart(system: LocalSystem, child: Child) -> None:
    time.sleep(RESTART_PAUSE_S)
    if child is system.gateway:
        system.start_gateway()
    elif child.name.startswith("provider "):
        system.start_pod(child.name.removeprefix("provider "))
    else:
        child.start()
