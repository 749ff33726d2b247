"""The canary run (security.md 1.3): canaries through every position of the whole system, then a search of all it left.

Evidence needs both halves: no canary is found anywhere, and in every place the deliberate leak is found.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import httpx
import pytest

from handlers.local.system import DATABASE
from handlers.store.connection import open_connection
from tests.claims.canaries import (
    Canaries,
    Hit,
    Place,
    Scanner,
    deleted_files,
    environments,
    files,
    text,
    waiting_process,
)
from tests.claims.canary_traffic import send_abandoned, send_conversations, send_faulty, send_malformed
from tests.claims.whole_system import WholeSystem, whole_system

SECRET_PART = slice(-60, -17)
"""Of an API key: what only its owner knows."""


@dataclass(frozen=True)
class Run:
    """What the run left, and what it found."""

    places: list[Place]
    scanner: Scanner
    canaries: Canaries
    requests: int
    seen_upstream: int
    own_credentials: list[Hit]
    held: dict[str, set[str]]
    """By pod: the credentials in its environment."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One run for all claims; the folder is searched after the system has stopped, so that everything is on disk."""
    canaries = Canaries()
    credentials = {
        "openai": canaries.plant("credential of openai", "openai"),
        "anthropic": canaries.plant("credential of anthropic", "anthropic"),
    }
    with ExitStack() as stack:
        world = stack.enter_context(whole_system(credentials))
        canaries.planted["API key"] = world.key[SECRET_PART]
        canaries.planted["second API key"] = world.other_key[SECRET_PART]
        responses = [*send_conversations(world, canaries), *send_faulty(world, canaries)]
        send_abandoned(world, canaries)
        malformed = send_malformed(world, canaries)
        held = held_credentials(world, canaries)
        live = live_places(world, canaries, responses, malformed, stack)
        leak_everywhere(world, canaries)
        yield Run(
            places=[*live, *stored_places(world)],
            scanner=Scanner(canaries),
            canaries=canaries,
            requests=len(responses),
            seen_upstream=len(world.upstream.received),
            own_credentials=credentials_in_answers(canaries, responses, malformed),
            held=held,
        )


def frozen(place: Place) -> Place:
    """The place as it is now."""
    pieces = list(place.read())
    return Place(place.name, lambda: pieces)


def live_places(
    world: WholeSystem, canaries: Canaries, responses: list[httpx.Response], malformed: bytes, stack: ExitStack
) -> list[Place]:
    """What can be searched only while the system runs."""
    with world.client(world.other_key) as other:
        metrics = other.get("/metrics").content
        answers = [other.get(path) for path in ("/v1/key", "/v1/models", "/v1/models/openai/gpt-4o-mini/endpoints")]
        body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
        answers += [other.post("/v1/chat/completions", json={**body, "stream": stream}) for stream in (False, True)]
        assert answers[-1].status_code == 200
        answers += [other.get(f"/v1/generation?id={answer.headers['x-request-id']}") for answer in responses[:8]]
    headers = b"\n".join(name + b": " + value for answer in responses for name, value in answer.headers.raw)
    leaking = {"PATH": os.environ["PATH"], "LEAK": canaries.leak("command lines and environments")}
    bystander = stack.enter_context(waiting_process(leaking))
    stack.enter_context(deleted_file(canaries.leak("deleted files")))
    pids = list(world.process_ids().values())
    # On one machine a pod's environment holds its own provider's credential: test_c35 looks there.
    private = {world.system.pods[slug].pid for slug in world.system.pods}
    return [
        text("metrics", metrics, canaries.leak("metrics").encode()),
        text(
            "response headers", headers, malformed.partition(b"\r\n\r\n")[0], canaries.leak("response headers").encode()
        ),
        text("answers to others", *(answer.content for answer in answers), canaries.leak("answers to others").encode()),
        frozen(environments("command lines and environments", [bystander.pid, *(set(pids) - private)])),
        frozen(deleted_files("deleted files", [os.getpid(), *pids])),
    ]


@contextmanager
def deleted_file(control: str) -> Iterator[None]:
    """A file of this process that no folder shows."""
    with tempfile.TemporaryFile() as file:
        file.write(control.encode())
        file.flush()
        yield


def leak_everywhere(world: WholeSystem, canaries: Canaries) -> None:
    """One deliberate leak per stored place, by the way that a real one would take."""
    with closing(open_connection(world.system.postgres.superuser(DATABASE), timeout_s=30)) as connection:
        connection.run("create table leaked (said text)")
        connection.run("insert into leaked values (:said)", said=canaries.leak("database files"))
        connection.run("checkpoint")
        connection.run("insert into leaked values (:said)", said=canaries.leak("write-ahead log"))
        control = canaries.leak("database log")
        connection.run(f"do $$ begin raise log '{control}'; end $$")
    with (world.home.logs / "gateway.log").open("ab") as log:
        log.write(canaries.leak("process logs").encode() + b"\n")
    (world.home.spool / "leak").write_text(canaries.leak("spool"))
    (world.home.root.parent / "tmp" / "leak").write_text(canaries.leak("temporary files"))
    (world.home.run / "leak").write_text(canaries.leak("run files"))
    (world.home.secrets / "leak").write_text(canaries.leak("secret files"))


def held_credentials(world: WholeSystem, canaries: Canaries) -> dict[str, set[str]]:
    """Which provider's credential is in which pod's environment; empty where the system lets nobody look."""
    search = Scanner(canaries)
    return {
        slug: {hit.position for hit in search.scan(environments(slug, [pod.pid]))}
        for slug, pod in world.system.pods.items()
    }


def stored_places(world: WholeSystem) -> list[Place]:
    """What the system wrote, read after it has stopped."""
    data = world.system.postgres.data_dir
    places = [
        files("database log", world.system.postgres.log_path),
        files("process logs", world.home.logs),
        files("spool", world.home.spool),
        files("temporary files", world.home.root.parent / "tmp"),
        files("run files", world.home.run),
        files("secret files", world.home.secrets),
        files("write-ahead log", data / "pg_wal"),
    ]
    running = [frozen(place) for place in places]
    world.system.stop()
    stopped = [frozen(place) for place in [files("database files", data), *places]]
    return [*running, *stopped]


def credentials_in_answers(canaries: Canaries, responses: list[httpx.Response], malformed: bytes) -> list[Hit]:
    """Provider credentials and API keys in what clients received: their own prompts may stand there, these may not."""
    kept = {
        name: canary for name, canary in canaries.planted.items() if name.startswith(("credential", "API", "second"))
    }
    everything = [*(answer.content for answer in responses), malformed]
    return Scanner(Canaries(planted=kept)).scan(text("answers", *everything))


@pytest.mark.claim("C4", "C5", "C6", "C7", "C14", "C17", "C18", "C19", "C21", "C31", "C32")
def test_no_canary_is_found_anywhere(run: Run) -> None:
    hits = run.scanner.scan_all(run.places)
    assert sorted({(hit.position, hit.place) for hit in hits}) == []


def test_every_positive_control_is_found(run: Run) -> None:
    assert run.scanner.missed_controls(run.places) == []
    assert {place.name for place in run.places} == set(run.canaries.controls)


def test_the_run_reached_the_providers_with_many_canaries(run: Run) -> None:
    assert run.requests > 90
    assert run.seen_upstream > 60
    assert len(run.canaries.planted) > 900


@pytest.mark.claim("A57", "C19")
def test_no_answer_holds_a_credential_or_a_key(run: Run) -> None:
    assert run.own_credentials == []


@pytest.mark.claim("C21", "C23", "C35")
def test_c35_a_pod_holds_its_own_providers_credential_and_no_other(run: Run) -> None:
    if not any(run.held.values()):
        pytest.skip("only root may read the environment of a process that refuses to be dumped")
    assert run.held == {"openai": {"credential of openai"}, "anthropic": {"credential of anthropic"}}
