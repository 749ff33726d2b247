"""`therouter replay DIR`: plays recorded exchanges as the upstream through the whole gateway and judges each answer.

Theory of operation
    The system is started as `therouter up` starts it (PostgreSQL, one pod per provider, the gateway), in a temporary folder,
    with every provider's address pointing at one loopback server that answers with the recording. Exchanges of one provider
    are played one after the other, providers beside one another. Answers that were errors come last, because the gateway
    rightly stops calling who answers so.

Verdicts
    valid      the answer is valid under the official SDK's strict model and says the recorded text
    refused    the gateway refused it before anything was spent, and named why: ids of objects kept at a provider, content
               that the provider's format cannot express
    error      a recorded error came out as an error of the right shape
    miss       everything else, with its reason
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from handlers.catalog.entries import Catalog, Endpoint
from handlers.catalog.loading import load_catalog
from handlers.errors import TheRouterError
from handlers.local.access import LOCAL_TENANT, Access
from handlers.local.home import Home
from handlers.local.replay_credentials import replay_credential
from handlers.local.replay_exchanges import DIALECT_FORMATS, Exchange, read_exchanges, says, slug_of, with_fields
from handlers.local.replay_judges import Judge, NoJudges, load_judges
from handlers.local.replay_reading import carries_error, read_answer
from handlers.local.replay_upstream import ReplayUpstream
from handlers.local.system import LocalSystem, Options
from handlers.local.tables import render

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "google_interactions": "/v1beta/interactions",
}
STAND_INS = {
    "openai_chat": "openrouter",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "gemini": "gemini",
    "bedrock_converse": "bedrock",
    "cohere": "cohere",
}
"""Who stands for a provider that the catalogue does not know, or not in this format."""
REGIONS = ("global", "china")
CREDIT_NANO = 10**9 * 10**9
WORKERS = 4
REQUEST_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 60.0
ASKED_AGAIN_MAX = 30
BATCH = 4_000
"""Requests after which usage rows are read: the store lists ten thousand at once."""


class Played(msgspec.Struct, frozen=True):
    """What came of one exchange in one dialect."""

    exchange: str
    provider: str
    wire_format: str
    dialect: str
    own: bool
    verdict: str
    reason: str = ""
    request_id: str = ""
    recorded_tokens: tuple[int, int] | None = None
    billed_tokens: tuple[int, int] | None = None


class Task(msgspec.Struct, frozen=True):
    """One exchange to play in one dialect at one endpoint."""

    exchange: Exchange
    dialect: str
    endpoint: Endpoint


def replay(options: argparse.Namespace) -> int:
    """Play, judge, print; 0 if every answer was valid, refused with a reason, or an error that was recorded as one."""
    folder = Path(options.folder)
    try:
        judges = load_judges()
        exchanges = _sample(list(read_exchanges(folder)), options.sample)
    except (NoJudges, OSError, msgspec.DecodeError) as error:
        print(f"therouter: {folder}: {error}", file=sys.stderr)
        return 1
    if not exchanges:
        print(f"therouter: {folder} holds no exchange that can be played", file=sys.stderr)
        return 1
    played: list[Played] = []
    for region in REGIONS:
        tasks = plan(exchanges, region, options.dialects)
        if tasks:
            print(f"{len(tasks)} requests in region {region}", file=sys.stderr)
            played += play(tasks, region, judges)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode([msgspec.structs.asdict(one) for one in played])).decode())
    else:
        print(report(played))
    return 1 if any(one.verdict == "miss" or not _tokens_agree(one) for one in played) else 0


def _sample(exchanges: list[Exchange], most: int) -> list[Exchange]:
    """At most so many of each provider, format and kind; 0: all."""
    if not most:
        return exchanges
    seen: Counter[tuple[str, str, bool, bool]] = Counter()
    kept = []
    for exchange in exchanges:
        kind = (exchange.provider, exchange.wire_format, exchange.streams, exchange.status == 200)
        seen[kind] += 1
        if seen[kind] <= most:
            kept.append(exchange)
    return kept


def plan(exchanges: list[Exchange], region: str, dialects: str) -> list[Task]:
    """What to ask in one region: each exchange in every dialect, errors in their own alone and last."""
    catalogs = {name: load_catalog(name) for name in REGIONS}
    catalog = catalogs[region]
    tasks = []
    turns: Counter[tuple[str, str]] = Counter()
    for exchange in sorted(exchanges, key=lambda one: (one.status >= 400, one.status in {401, 402, 403})):
        at_home = bool(endpoints(catalogs["global"], slug_of(exchange.provider), exchange.wire_format))
        abroad = bool(endpoints(catalogs["china"], slug_of(exchange.provider), exchange.wire_format))
        if (region == "china") is not (abroad and not at_home):
            continue
        slug = slug_of(exchange.provider) if at_home or abroad else STAND_INS[exchange.wire_format]
        choice = endpoints(catalog, slug, exchange.wire_format)
        if not choice:
            continue
        wanted = list(DIALECT_FORMATS) if dialects == "all" and exchange.status < 400 else [exchange.own_dialect]
        for dialect in wanted:
            if not dialect:
                continue
            turn = turns[slug, exchange.wire_format]
            turns[slug, exchange.wire_format] += 1
            tasks.append(Task(exchange, dialect, choice[turn % len(choice)]))
    return tasks


def endpoints(catalog: Catalog, slug: str, wire_format: str) -> list[Endpoint]:
    """The endpoints of a provider in a format, the ablest first."""
    provider = catalog.providers.get(slug)
    if provider is None:
        return []
    found = [
        endpoint
        for model in catalog.models.values()
        for endpoint in model.endpoints
        if endpoint.provider == slug
        and endpoint.price is not None
        and (endpoint.wire_format or provider.wire_format) == wire_format
        and "chat" in endpoint.capabilities.operations
    ]
    ablest = max((_abilities(endpoint) for endpoint in found), default=0)
    return [endpoint for endpoint in found if _abilities(endpoint) == ablest][:12]


def _abilities(endpoint: Endpoint) -> int:
    able = endpoint.capabilities
    count = sum((able.tools, able.vision, able.json_schema, able.reasoning, able.files, able.audio))
    return 2 * count + (able.context_tokens >= 100_000)


def play(tasks: list[Task], region: str, judges: dict[str, Judge]) -> list[Played]:
    """Start the system, play everything, compare what was billed, and stop it."""
    catalog = load_catalog(region)
    slugs = sorted({task.endpoint.provider for task in tasks})
    upstream = ReplayUpstream()
    upstream.start()
    with tempfile.TemporaryDirectory(prefix="tr-replay-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o711)
        system = LocalSystem(
            Home(root / region),
            Options(
                region=region,
                port=0,
                model=False,
                credentials={slug: replay_credential(catalog.providers[slug].auth) for slug in slugs},
                addresses={slug: upstream.address(slug) for slug in slugs},
                durable=False,
            ),
            lambda what: print(f"  {what}", file=sys.stderr),
        )
        try:
            system.start()
            key = _open_account(system.home)
            played: list[Played] = []
            for start in range(0, len(tasks), BATCH):
                batch = tasks[start : start + BATCH]
                begun = datetime.now(UTC) - timedelta(seconds=5)
                played += _with_billed(_play_all(batch, system.url, key, upstream, judges), system.home, begun)
                print(f"  {len(played)} of {len(tasks)} played", file=sys.stderr)
            return played
        finally:
            system.stop()
            upstream.stop()


def _open_account(home: Home) -> str:
    access = Access.open(home)
    try:
        access.ensure_tenant()
        access.store.adjust_credit("replay", str(LOCAL_TENANT), CREDIT_NANO, "local")
        return access.create_key("replay")
    finally:
        access.close()


def _play_all(
    tasks: list[Task], url: str, key: str, upstream: ReplayUpstream, judges: dict[str, Judge]
) -> list[Played]:
    """Providers beside one another, the exchanges of each in order."""
    by_provider: dict[str, list[Task]] = {}
    for task in tasks:
        by_provider.setdefault(task.endpoint.provider, []).append(task)

    def play_provider(listed: list[Task]) -> list[Played]:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        with httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=False, headers=headers) as client:
            return [_play_safely(task, client, upstream, judges[task.dialect]) for task in listed]

    with ThreadPoolExecutor(WORKERS) as pool:
        return [one for played in pool.map(play_provider, by_provider.values()) for one in played]


def _play_safely(task: Task, client: httpx.Client, upstream: ReplayUpstream, judge: Judge) -> Played:
    """A recording that nobody can read is a miss of its own, not the end of the run."""
    try:
        return _play_one(task, client, upstream, judge)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        exchange, own = task.exchange, task.dialect == task.exchange.own_dialect
        reason = f"cannot be read: {type(error).__name__}"
        return Played(exchange.id, exchange.provider, exchange.wire_format, task.dialect, own, "miss", reason)


def _play_one(task: Task, client: httpx.Client, upstream: ReplayUpstream, judge: Judge) -> Played:
    exchange, dialect = task.exchange, task.dialect
    slug = task.endpoint.provider
    told = Played(exchange.id, exchange.provider, exchange.wire_format, dialect, dialect == exchange.own_dialect, "")
    try:
        steering = {"only": [slug], "allow_fallbacks": False}
        fields: dict[str, Any] = {"model": task.endpoint.model, "stream": exchange.streams, "provider": steering}
        body = with_fields(exchange.asked_in(dialect), dialect, **fields)
    except TheRouterError as error:
        return msgspec.structs.replace(told, verdict="refused", reason=says(error))
    upstream.prepare(slug, exchange)
    try:
        answer = _ask(task, client, upstream, body)
    except httpx.HTTPError as error:
        return msgspec.structs.replace(told, verdict="miss", reason=type(error).__name__)
    told = msgspec.structs.replace(told, request_id=answer.headers.get("x-request-id", ""))
    verdict, reason = _judge(task, answer, judge, asked=upstream.asked(slug))
    recorded = None
    if verdict == "valid":
        reading = read_answer(exchange.wire_format, exchange.body)
        if reading.prompt_tokens is not None and reading.completion_tokens is not None:
            recorded = (reading.prompt_tokens, reading.completion_tokens)
    return msgspec.structs.replace(told, verdict=verdict, reason=reason, recorded_tokens=recorded)


def _ask(task: Task, client: httpx.Client, upstream: ReplayUpstream, body: bytes) -> httpx.Response:
    """The answer; a gateway that is too busy on this machine to begin says when to come again, and is asked again then."""
    for _ in range(ASKED_AGAIN_MAX):
        answer = client.post(_path(task), content=body, headers=_protocol(task.dialect))
        if answer.status_code != 503 or upstream.asked(task.endpoint.provider):
            return answer
        time.sleep(int(answer.headers.get("retry-after", "1")))
    return answer


def _path(task: Task) -> str:
    if task.dialect != "google_generate":
        return PATHS[task.dialect]
    method = "streamGenerateContent?alt=sse" if task.exchange.streams else "generateContent"
    return f"/v1beta/models/{task.endpoint.model}:{method}"


def _protocol(dialect: str) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01"} if dialect == "anthropic_messages" else {}


def _judge(task: Task, answer: httpx.Response, judge: Judge, *, asked: int) -> tuple[str, str]:
    """Verdict and reason."""
    exchange = task.exchange
    if answer.status_code != 200:
        code = _error_code(answer)
        if not asked and 400 <= answer.status_code < 500:
            return "refused", code
        if exchange.status >= 400 or not exchange.body.strip() or carries_error(exchange.wire_format, exchange.body):
            return ("error", code) if code else ("miss", "an error without a body")
        return "miss", f"{answer.status_code} {code}"
    if exchange.status >= 400:
        return "miss", "an error became a success"
    complaint = judge(answer.content, exchange.streams)
    if complaint:
        if b'"error"' in answer.content[-2_000:] and carries_error(exchange.wire_format, exchange.body):
            return "error", "in the stream"
        return "miss", complaint
    recorded = read_answer(exchange.wire_format, exchange.body).text
    told = read_answer(DIALECT_FORMATS[task.dialect], answer.content).text
    if recorded.strip() != told.strip():
        return "miss", "the text differs"
    return "valid", ""


def _error_code(answer: httpx.Response) -> str:
    try:
        error = answer.json().get("error") or {}
    except ValueError:
        return ""
    code = (error.get("metadata") or {}).get("error_type") or error.get("type") or error.get("status") or ""
    return f"{code}: {error.get('param') or error.get('code') or ''}".strip(": ")


def _with_billed(played: list[Played], home: Home, since: datetime) -> list[Played]:
    """The tokens that were billed, from the usage rows; they settle a moment after the answer."""
    wanted = {one.request_id for one in played if one.recorded_tokens is not None}
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    access = Access.open(home)
    try:
        while True:
            rows = access.store.recent_usage(str(LOCAL_TENANT), since=since, limit=2 * BATCH)
            billed = {row.request_id: (row.prompt_tokens, row.completion_tokens) for row in rows}
            if wanted <= set(billed) or time.monotonic() > deadline:
                break
            time.sleep(1)
    finally:
        access.close()
    return [
        msgspec.structs.replace(one, billed_tokens=billed.get(one.request_id)) if one.recorded_tokens else one
        for one in played
    ]


def _tokens_agree(one: Played) -> bool:
    return one.recorded_tokens is None or one.recorded_tokens == one.billed_tokens


def report(played: list[Played]) -> str:
    """A table per provider and dialect, the totals, and the reasons for misses."""
    groups: dict[tuple[str, str, str], list[Played]] = {}
    for one in played:
        groups.setdefault((one.provider, one.wire_format, one.dialect), []).append(one)
    columns = (
        "provider",
        "format",
        "dialect",
        "played",
        "valid",
        "refused",
        "error",
        "miss",
        "counted",
        "tokens equal",
    )
    rows: list[tuple[object, ...]] = []
    for key, group in sorted(groups.items()):
        verdicts = Counter(one.verdict for one in group)
        counted = [one for one in group if one.recorded_tokens is not None]
        counts = [verdicts[name] for name in ("valid", "refused", "error", "miss")]
        rows.append((*key, len(group), *counts, len(counted), sum(map(_tokens_agree, counted))))
    lines = [render(columns, rows), ""]
    for title, chosen in (
        ("own dialect", [one for one in played if one.own]),
        ("other dialects", [one for one in played if not one.own]),
    ):
        lines.append(_total(title, chosen))
    reasons = Counter((one.verdict, one.reason) for one in played if one.verdict in {"miss", "refused"})
    reasons.update(("tokens", f"{one.provider}/{one.wire_format}") for one in played if not _tokens_agree(one))
    lines += ["", *(f"{count:6}  {verdict}: {reason}" for (verdict, reason), count in reasons.most_common(40))]
    return "\n".join(lines)


def _total(title: str, played: list[Played]) -> str:
    asked = [one for one in played if one.verdict != "refused"]
    good = [one for one in asked if one.verdict in {"valid", "error"}]
    counted = [one for one in played if one.recorded_tokens is not None]
    equal = sum(map(_tokens_agree, counted))
    share = 100 * len(good) / len(asked) if asked else 100.0
    refused = len(played) - len(asked)
    return f"{title}: {len(good)} of {len(asked)} valid ({share:.2f} %), {refused} refused; tokens equal in {equal} of {len(counted)}"
