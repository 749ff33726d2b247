"""The `therouter` command: what a person types. Each command is a function; this file says how they are spelled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from handlers.errors import TheRouterError
from handlers.local.access import NotRunning
from handlers.local.audit import export_audit, show_key, verify_audit
from handlers.local.claims import add_options as add_claims_options
from handlers.local.claims import show_claims
from handlers.local.commands import (
    ask_cloud,
    check_ledger,
    create_key,
    list_keys,
    list_models,
    revoke_key,
    show_usage,
)
from handlers.local.credit import REASONS, add_credit, confirm_key, list_alerts, list_credit, nano_of
from handlers.local.home import HomeBusy
from handlers.local.replay import replay
from handlers.local.restore import begin as begin_restore
from handlers.local.restore import replay as replay_restore
from handlers.local.rotation import rotate
from handlers.local.up import up

EXAMPLES = """examples:
  therouter up                              run everything here; prints a key and a ready-to-paste request
  therouter up --no-model --port 9000       without the small model, on another port
  OPENAI_API_KEY=... therouter up           provider keys in the environment enable those providers
  therouter keys create --name laptop --requests-per-minute 60
  therouter usage                           one row per request: the metadata that is kept, and nothing else
  therouter usage --json | jq .             every listing speaks JSON too
  therouter audit verify trail.jsonl        prove that an exported audit trail was not changed
  therouter claims                          run the tests behind the trust page: claim, state, sentence
  therouter credit add 5 --reason goodwill --expires-days 30
  therouter ledger check                    every sum of money that must agree, to the nano-unit
"""

Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="therouter",
        description="An LLM gateway: one address, one key, every provider, metered exactly, bodies never stored.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_up(commands)
    _add_keys(commands)
    usage = _command(commands, "usage", "requests of this account, newest first", show_usage)
    usage.add_argument("--limit", type=int, default=20, help="how many rows (20)")
    usage.add_argument("--days", type=int, default=30, help="how far back (30 days)")
    usage.add_argument("--wide", action="store_true", help="all columns, not only the nine of the trust page")
    models = _command(commands, "models", "what can be asked for now, with prices per million tokens", list_models)
    models.add_argument("--search", default="", help="only models whose name contains this")
    recorded = _command(commands, "replay", "play recorded provider traffic through the whole gateway", replay)
    recorded.add_argument("folder", help="recordings: one gzipped JSON-lines file per provider")
    recorded.add_argument("--sample", type=int, default=0, help="at most so many of each kind (all)")
    recorded.add_argument("--dialects", choices=("all", "own"), default="all", help="ask in every dialect (all)")
    _add_clouds(commands)
    add_claims_options(
        _command(
            commands, "claims", "run the tests behind the trust page, and say which claims have proof", show_claims
        )
    )
    ledger = commands.add_parser("ledger", help="money").add_subparsers(metavar="ACTION", required=True)
    _command(ledger, "check", "compare every sum that must agree; exits 1 on a difference", check_ledger)
    _add_credit(commands)
    _add_audit(commands)
    rotation = _command(commands, "rotate", "a new version of a secret, while requests go on", rotate)
    restored = commands.add_parser("restore", help="put an old database back without what was revoked and purged since")
    steps = restored.add_subparsers(metavar="STEP", required=True)
    _command(steps, "begin", "stop serving until the procedure is done", begin_restore)
    again = _command(steps, "replay", "take away again what the diary tells, then serve", replay_restore)
    again.add_argument("--diary", default="", help="the diary, if it is not in its place")
    rotation.add_argument("name", help="keys/mint, seal/PROVIDER, wire/PROVIDER or database/ROLE")
    return parser


def _add_clouds(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is done to a cloud's account; the options are those of the operations room's own parsers."""
    meanings = {
        "verify": "compare a live cloud account with what the trust page promises; read-only",
        "bootstrap": "a fresh deployment's first secrets, its migrations and its first key; nothing is overwritten",
    }
    for name, meaning in meanings.items():
        clouds = commands.add_parser(name, help=meaning).add_subparsers(metavar="CLOUD", required=True)
        for cloud, where in (("aws", "us-east-2"), ("aliyun", "cn-hangzhou")):
            clouds.add_parser(cloud, add_help=False, help=where).set_defaults(run=ask_cloud, asked=(name, cloud))


def _add_credit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("credit", help="give, correct and list credit").add_subparsers(
        metavar="ACTION", required=True
    )
    add = _command(
        actions, "add", "book credit by hand; in the ledger and the audit trail, with its reason", add_credit
    )
    add.add_argument("amount", type=nano_of, help="in units of currency, such as 12.50; below zero takes it away")
    add.add_argument("--reason", required=True, choices=REASONS, help="why")
    add.add_argument(
        "--expires-days", type=int, help="days until what is left of it ends; it is spent before all other"
    )
    add.add_argument("--key", default="", help="a name for this booking: the same name again books nothing")
    listed = _command(actions, "list", "everything that changed the balance but use, newest first", list_credit)
    listed.add_argument("--limit", type=int, default=50, help="how many rows (50)")
    alerts = _command(
        actions, "alerts", "budgets that ran out, low balances and stopped keys, newest first", list_alerts
    )
    alerts.add_argument("--limit", type=int, default=50, help="how many rows (50)")
    confirm = _command(actions, "confirm", "let a key that was stopped for unusual spending go on", confirm_key)
    confirm.add_argument("key_id", help="the 16 characters that `keys list` shows")


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("audit", help="export and verify the audit trail").add_subparsers(
        metavar="ACTION", required=True
    )
    verify = _command(
        actions,
        "verify",
        "check an exported trail offline; exits 1 and names the row when it was changed",
        verify_audit,
    )
    verify.add_argument("file", help="what `audit export` wrote")
    verify.add_argument("--key", default="", help="the published public key, <name>+<id>+<base64>")
    export = _command(actions, "export", "write the tenant's trail with its proof to standard output", export_audit)
    export.add_argument("--url", default="", help="the admin API, such as https://HOST/admin (default: what runs here)")
    _command(actions, "key", "the public key of the checkpoints that are made here", show_key)


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    start = _command(commands, "up", "run the whole system on this machine until Ctrl-C", up)
    start.add_argument("--port", type=int, default=8080, help="where clients go (8080); 0 takes a free one")
    start.add_argument("--region", choices=("global", "china"), default="global", help="which region to run (global)")
    start.add_argument("--no-model", action="store_true", help="without the small real model (saves 340 MB of memory)")
    start.add_argument("--new-key", action="store_true", help="print a new API key even if one was made before")


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        metavar="ACTION", required=True
    )
    create = _command(actions, "create", "make a key; it is shown once", create_key)
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument(
        "--management", action="store_true", help="the first key for the admin API, instead of one that infers"
    )
    create.add_argument("--models", default="", help="only these models, separated by commas")
    create.add_argument("--requests-per-minute", type=int, help="refuse more than this")
    create.add_argument("--tokens-per-minute", type=int, help="refuse more than this")
    create.add_argument("--concurrent-requests", type=int, help="refuse more than this at once")
    create.add_argument("--spend", type=float, help="most that the key may spend, in units of currency")
    create.add_argument("--spend-period", choices=("daily", "weekly", "monthly"), help="when --spend starts anew")
    create.add_argument("--expires-days", type=int, help="days from now until the key stops working")
    _command(actions, "list", "all keys, without their secrets", list_keys)
    revoke = _command(actions, "revoke", "stop a key everywhere within five seconds", revoke_key)
    revoke.add_argument("key_id", help="the 16 characters that `keys list` shows")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, meaning: str, run: Command
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=meaning, description=meaning)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    if name != "up":
        parser.add_argument("--region", choices=("global", "china"), default="global", help="which region (global)")
    parser.set_defaults(run=run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 refused or failed, 2 misspelt."""
    options, rest = build_parser().parse_known_args(arguments)
    if rest and options.run is not ask_cloud:
        build_parser().error(f"unknown argument: {rest[0]}")
    options.rest = rest
    run: Command = options.run
    try:
        return run(options)
    except (NotRunning, HomeBusy) as error:
        print(f"therouter: {error}", file=sys.stderr)
    except TheRouterError as error:
        print(f"therouter: {error.message}", file=sys.stderr)
    return 1
