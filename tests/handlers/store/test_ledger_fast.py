"""The ledger against its reference, many steps to a round trip: the same functions as in test_ledger.py, played inside PostgreSQL.

Theory of operation
    A rule decides a step, lets the reference take it at once and writes down what has to be answered: the step's own answer, then
    balance, holds and state. An example's steps are one batch, which one transaction plays and answers step by step. So a crash
    in its middle shows as a batch that never happened, and one after its commit as a batch whose answers are still there.
    THEROUTER_LEDGER_STEPS sets how many steps the slow run takes.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from handlers.store.admin import AdminStore
from handlers.store.connection import open_connection
from tests.database import Database
from tests.handlers.store import ledger_model
from tests.handlers.store.ledger_model import Account
from tests.handlers.store.world import make_tenant, new_request_id

STEPS = 6_000
STEPS_SLOW = int(os.environ.get("THEROUTER_LEDGER_STEPS", "1000000"))
STEPS_PER_EXAMPLE = 250
EXAMPLES_AT_ONCE = 200
"""Hypothesis remembers every choice of a run, so a long one is made of several."""
REFERENCE_LINES_MAX = 60
BATCHES_BETWEEN_CRASHES = 20
BATCHES_BETWEEN_CHECKS = 100
CRASH_S = (0.0, 0.02, 0.05, 0.1, 0.2)
"""How long after a batch was sent the server dies: before, while and after it is played."""
KINDS = frozenset({
    "topup", "refund", "chargeback", "thaw", "grant", "end_grant", "lease", "release", "expire", "reap", "settle", "purge", "crash",
})  # fmt: skip
"""What a run has to have done, each once at least."""

PLAYER = (
    "create table therouter.played (batch int primary key, answers text not null)",
    """
create function therouter.play(p_batch int, p_steps json) returns text language plpgsql set search_path = therouter, pg_temp as $$
declare
  step json;
  answer text;
  answers text[] := '{}';
  stamp text;
begin
  for step in select * from json_array_elements(p_steps) loop
    case step ->> 'do'
      when 'topup' then answer := credit_topup(step ->> 'key', (step ->> 'tenant')::uuid, (step ->> 'nano')::bigint);
      when 'refund' then answer := credit_refund(step ->> 'key', (step ->> 'tenant')::uuid, (step ->> 'nano')::bigint);
      when 'chargeback' then answer := credit_chargeback(step ->> 'key', (step ->> 'tenant')::uuid, (step ->> 'nano')::bigint);
      when 'thaw' then
        update account set state = 'active' where tenant_id = (step ->> 'tenant')::uuid;
        answer := '';
      when 'grant' then
        answer := credit_grant_until(step ->> 'key', (step ->> 'tenant')::uuid, (step ->> 'nano')::bigint, 'promotion',
          timestamptz '2100-01-01Z' + (step ->> 'moment')::int * interval '1 s');
      when 'end_grant' then
        update credit_grant set expires_at = now() - interval '1 s' where grant_key = (
          select g.grant_key from credit_grant g where g.tenant_id = (step ->> 'tenant')::uuid and g.ended_at is null
          order by g.expires_at limit 1);
        answer := (credit_expire(1000)).amount_nano::text;
      when 'lease' then
        select l.granted_nano || ' ' || l.available_nano into answer from credit_lease(
          (step ->> 'lease')::uuid, (step ->> 'tenant')::uuid, 'pod', (step ->> 'need')::bigint, (step ->> 'want')::bigint, 3600) l;
      when 'release' then answer := credit_release((step ->> 'lease')::uuid, (step ->> 'keep')::bigint)::text;
      when 'expire' then
        update lease set expires_at = now() - interval '1 s' where lease_id = (step ->> 'lease')::uuid;
        answer := '';
      when 'reap' then answer := credit_reap(1000)::text;
      when 'settle' then
        select string_agg(s.outcome, ',' order by l.ordinality) into answer
        from json_array_elements(step -> 'lines') with ordinality l(line, ordinality)
        join usage_settle(step -> 'lines') s on s.request_id = l.line ->> 'request_id';
      when 'purge' then
        answer := (usage_purge((step ->> 'tenant')::uuid, now() - interval '1 day', (step ->> 'limit')::int)).requests::text;
    end case;
    select a.balance_nano || ' ' || a.held_nano || ' ' || a.state into stamp from account a
      where a.tenant_id = (step ->> 'tenant')::uuid;
    answers := answers || (coalesce(answer, 'null') || '|' || stamp);
  end loop;
  insert into played values (p_batch, array_to_json(answers)::text);
  return array_to_json(answers)::text;
end $$
""",
)
PLAY = "select therouter.play(:n, cast(:s as json))"
RETIRE = (
    "update therouter.lease set expires_at = now() - interval '1 s'",
    "select therouter.credit_reap(100000)",
    "update therouter.credit_grant set ended_at = now() where ended_at is null",
)
Step = dict[str, Any]


class Player:
    """One connection that keeps its plans, another one after a crash, and what was counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.admin = AdminStore(database.pool("founder"))
        self.pool = database.pool("founder")
        self.done: Counter[str] = Counter()
        self.number = self.crashed_at = 0
        self._connection: Any = None

    @property
    def missing(self) -> set[str]:
        """What has not been done once."""
        return {kind for kind in KINDS if not any(done.startswith(kind) for done in self.done)}

    def run(self, sql: str, **parameters: object) -> Any:
        """One statement of the owner's."""
        if self._connection is None:
            self._connection = open_connection(self.database.superuser, timeout_s=60)
            self._connection.run("set plan_cache_mode = force_generic_plan")
        return self._connection.run(sql, **parameters)

    def play(self, batch: list[tuple[Step, str]], crash_after_s: float | None) -> None:
        """Play one batch and compare its answers; `crash_after_s`: let the server die meanwhile."""
        self.number += 1
        if self.number - self.crashed_at < BATCHES_BETWEEN_CRASHES:
            crash_after_s = None
        encoded = msgspec.json.encode([step for step, _ in batch]).decode()
        answers = None if crash_after_s is None else self._crash_during(encoded, crash_after_s)
        if answers is None:
            answers = str(self.run(PLAY, n=self.number, s=encoded)[0][0])
        told = msgspec.json.decode(answers)
        wrong = [(step, want, got) for (step, want), got in zip(batch, told, strict=True) if want != got]
        assert wrong == [], wrong[0]
        self.done.update(step["do"] for step, _ in batch)
        if self.number % BATCHES_BETWEEN_CHECKS == 0:
            self.check()

    def _crash_during(self, encoded: str, after_s: float) -> str | None:
        """The answers if the batch was committed; None: it never happened."""
        self.close()
        self.crashed_at = self.number
        with ThreadPoolExecutor(1) as thread:
            playing = thread.submit(self.database.query, PLAY, n=self.number, s=encoded)
            time.sleep(after_s)
            self.database.server.crash()
            self.database.server.start()
            playing.exception()
        rows = self.database.query("select answers from therouter.played where batch = :n", n=self.number)
        self.done["crash, committed" if rows else "crash, undone"] += 1
        return str(rows[0][0]) if rows else None

    @property
    def steps(self) -> int:
        """How many were played; a crash is none."""
        return sum(count for kind, count in self.done.items() if not kind.startswith("crash"))

    def check(self) -> None:
        """Every sum of the ledger is exact."""
        assert [rule for rule in self.admin.check_ledger() if rule.difference] == []

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Life:
    """One tenant of the database and its reference."""

    def __init__(self, player: Player) -> None:
        tenant = make_tenant(player.pool)
        player.database.query(
            "update therouter.tenant set retention_days = 1 where tenant_id = :tenant", tenant=tenant.tenant_id
        )
        self.tenant_id, self.name, self.model = tenant.tenant_id, tenant.key_id, Account()
        self.leases = [str(uuid.uuid4()) for _ in range(3)]
        self.line = {"tenant_id": tenant.tenant_id, "user_id": tenant.user_id, "key_id": tenant.key_id}
        self.lines: list[Step] = []
        self.old: list[str] = []
        self.born_ms = time.time_ns() // 1_000_000
        self.ends_grant = False

    def new_line(self, which: int, cost: int, *, final: bool, old: bool) -> Step:
        """A request of now, or of two days ago: old enough for the purge, each a millisecond later than the one before."""
        request = new_request_id(self.born_ms - 2 * 86_400_000 + len(self.old) if old else None)
        self.old += [request] * old
        return {
            **self.line, "request_id": request, "model": "a/m", "provider": "p", "prompt_tokens": 1, "completion_tokens": 1,
            "cost_nano": cost, "latency_ms": 1, "http_status": 200, "final": final, "lease_id": self.leases[which],
        }  # fmt: skip


WHO, WHICH = st.integers(0, 1), st.integers(0, 2)
KEY, COST, YES = st.integers(0, 199), st.integers(0, 2_499), st.booleans()
SOME = st.lists(st.tuples(WHICH, COST, YES, st.sampled_from([False] * 4 + [True])), min_size=1, max_size=3)


class LedgerMachine(RuleBasedStateMachine):
    """Two tenants who do everything that can be done with money, in any order."""

    def __init__(self, player: Player) -> None:
        super().__init__()
        for statement in RETIRE:  # what the last ones left to end is not the next ones', however long a run takes
            player.run(statement)
        self.player, self.lives = player, [Life(player) for _ in range(2)]
        self.batch: list[tuple[Step, str]] = []
        self.moments = 0
        self.crash_after_s: float | None = None

    def do(self, who: int, kind: str, answer: object, **step: object) -> None:
        """Write down a step that the reference has taken, and what PostgreSQL has to answer."""
        model = self.lives[who].model
        stamp = f"{answer}|{model.balance} {model.held} {'frozen' if model.frozen else 'active'}"
        self.batch.append(({"do": kind, "tenant": self.lives[who].tenant_id, **step}, stamp))

    @rule(who=WHO, key=KEY, kind=st.sampled_from(["topup"] * 3 + ["refund", "chargeback"]))
    def move_money(self, who: int, key: int, kind: str) -> None:
        life, nano = self.lives[who], (key + 1) * 4_999
        name = f"{life.name}.{kind}.{key}"
        answer = life.model.move(name, nano if kind == "topup" else -nano)
        life.model.frozen |= kind == "chargeback" and answer == "ok"
        self.do(who, kind, answer, key=name, nano=nano)

    @rule(who=WHO)
    def thaw(self, who: int) -> None:
        self.lives[who].model.frozen = False
        self.do(who, "thaw", "")

    @rule(who=WHO, key=KEY)
    def grant(self, who: int, key: int) -> None:
        life, nano = self.lives[who], (key + 1) * 997
        self.moments += 1
        name = f"{life.name}.grant.{key}"
        self.do(who, "grant", life.model.grant(name, nano), key=name, nano=nano, moment=self.moments)

    @rule(who=WHO)
    def end_grant(self, who: int) -> None:
        """All grants whose time is over end, whosever they are; what leases hold of them goes another time."""
        self.lives[who].ends_grant = bool(self.lives[who].model.grants)
        gone = 0
        for life in self.lives:
            if life.ends_grant:
                oldest = next(iter(life.model.grants))
                gone += life.model.end_oldest_grant()
                life.ends_grant = oldest in life.model.grants
        self.do(who, "end_grant", gone)

    @rule(who=WHO, which=WHICH, need=st.integers(0, 1_999), want=st.integers(0, 2_999))
    def lease(self, who: int, which: int, need: int, want: int) -> None:
        life = self.lives[who]
        granted, available = life.model.lease(life.leases[which], need, want)
        self.do(who, "lease", f"{granted} {available}", lease=life.leases[which], need=need, want=want)

    @rule(who=WHO, which=WHICH, keep=st.sampled_from([0, 0, 1, 500]))
    def release(self, who: int, which: int, keep: int) -> None:
        lease = self.lives[who].leases[which]
        self.do(who, "release", self.lives[who].model.release(lease, keep), lease=lease, keep=keep)

    @rule(who=WHO, which=WHICH)
    def expire(self, who: int, which: int) -> None:
        lease = self.lives[who].leases[which]
        self.lives[who].model.expired.add(lease)
        self.do(who, "expire", "", lease=lease)

    @rule(who=WHO)
    def reap(self, who: int) -> None:
        self.do(who, "reap", sum(life.model.reap() for life in self.lives))

    @rule(who=WHO, some=SOME)
    def settle(self, who: int, some: list[tuple[int, int, bool, bool]]) -> None:
        life = self.lives[who]
        self.settle_lines(who, [life.new_line(which, cost, final=final, old=old) for which, cost, final, old in some])

    @rule(who=WHO, which=WHICH, cost=COST)
    def settle_after_the_lease_was_reaped(self, who: int, which: int, cost: int) -> None:
        self.expire(who, which)
        self.reap(who)
        self.settle_lines(who, [self.lives[who].new_line(which, cost, final=True, old=False)])

    @precondition(lambda self: self.lives[0].lines and self.lives[1].lines)
    @rule(who=WHO, back=st.integers(1, 30), cost=COST)
    def settle_again(self, who: int, back: int, cost: int) -> None:
        lines = self.lives[who].lines
        self.settle_lines(who, [{**lines[-min(back, len(lines))], "cost_nano": cost, "final": True}])

    @rule(who=WHO, limit=st.integers(1, 5))
    def purge(self, who: int, limit: int) -> None:
        """The oldest rows go; sums take their place in rollup and entries."""
        life = self.lives[who]
        due = [request for request in life.old if request not in life.model.purged][:limit]
        life.model.purged |= set(due)
        self.do(who, "purge", len(due), limit=limit)

    @rule(after_s=st.sampled_from(CRASH_S))
    def crash(self, after_s: float) -> None:
        """The server dies while it plays this batch, if it has not died lately."""
        self.crash_after_s = after_s

    def settle_lines(self, who: int, lines: list[Step]) -> None:
        life = self.lives[who]
        life.lines += lines
        outcomes = [
            life.model.settle(line["request_id"], line["cost_nano"], line["lease_id"], final=line["final"])
            for line in lines
        ]
        self.do(who, "settle", ",".join(outcomes), lines=lines)

    def teardown(self) -> None:
        self.player.play(self.batch, self.crash_after_s)


def test_the_reference_has_at_most_sixty_lines() -> None:
    lines = Path(ledger_model.__file__).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.lstrip().startswith("#")]) <= REFERENCE_LINES_MAX


@pytest.mark.timeout(0)
@pytest.mark.claim("C12", "A62")
@pytest.mark.parametrize("steps", [STEPS, pytest.param(STEPS_SLOW, marks=pytest.mark.slow)])
def test_a62_a_million_steps_of_the_ledger_are_those_of_its_reference(database: Database, steps: int) -> None:
    database.altered = True
    for statement in PLAYER:
        database.query(statement)
    player = Player(database)
    began = time.monotonic()
    # As many as asked for, and more if chance has left out a kind: crashes are rare.
    while (left := steps - player.steps) > 0 or (player.missing and player.steps < 3 * steps):
        sys.stdout.write(f"{player.steps} steps after {time.monotonic() - began:.0f} s\n")
        run_state_machine_as_test(
            lambda: LedgerMachine(player),  # type: ignore[arg-type]  # any callable that makes one will do
            settings=settings(
                max_examples=min(EXAMPLES_AT_ONCE, 10 + max(left, 0) // STEPS_PER_EXAMPLE), stateful_step_count=STEPS_PER_EXAMPLE,
                derandomize=False, database=None, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    player.check()
    player.close()
    took_s = time.monotonic() - began
    sys.stdout.write(
        f"{player.steps} steps in {took_s:.0f} s ({player.steps / took_s:.0f} a second), {dict(player.done)}\n"
    )
    assert not player.missing
