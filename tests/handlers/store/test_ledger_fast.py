"""The ledger against its reference, many steps to a round trip: the same functions as in test_ledger.py, played inside PostgreSQL.

A batch is one transaction that writes down what it answered, so a crash in its middle shows as a batch that never happened, and
one after its commit as a batch whose answers are still there. THEROUTER_LEDGER_STEPS sets how many steps the slow run takes.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from handlers.store.admin import AdminStore
from handlers.store.connection import open_connection
from tests.database import Database
from tests.handlers.store.ledger_model import Account
from tests.handlers.store.world import make_tenant, new_request_id

STEPS = 6_000
STEPS_SLOW = int(os.environ.get("THEROUTER_LEDGER_STEPS", "1000000"))
BATCH = 500
TENANTS = 4
BATCHES_OF_A_TENANT = 40
"""After these, others take their place: the reference sums up a whole life at each step."""
BATCHES_BETWEEN_CRASHES = 60

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


class Life:
    """One tenant of the database, its reference, and what happens to both."""

    def __init__(self, database: Database, dice: random.Random, everybody: list[Life]) -> None:
        tenant = make_tenant(database.pool("admin"))
        database.query(
            "update therouter.tenant set retention_days = 1 where tenant_id = :tenant", tenant=tenant.tenant_id
        )
        self.everybody = everybody
        self.ends_grant = False
        self.dice, self.tenant_id, self.name = dice, tenant.tenant_id, tenant.key_id
        self.model = Account()
        self.leases = [str(uuid.uuid4()) for _ in range(3)]
        self.lines: list[dict[str, Any]] = []
        self.line = {"tenant_id": tenant.tenant_id, "user_id": tenant.user_id, "key_id": tenant.key_id}
        self.moments = 0
        self.born_ms = time.time_ns() // 1_000_000
        self.old: list[str] = []

    def step(self) -> tuple[dict[str, Any], str]:
        """What to do next, and what has to be answered."""
        kind = self.dice.choice(KINDS)
        step, answer = getattr(self, kind)()
        model = self.model
        state = "frozen" if model.frozen else "active"
        return (
            {"do": step.pop("do", kind), "tenant": self.tenant_id, **step},
            f"{answer}|{model.balance} {model.held} {state}",
        )

    def topup(self, kind: str = "topup", sign: int = 1) -> tuple[dict[str, Any], str]:
        number = self.dice.randrange(200)
        nano, key = (number + 1) * 4_999, f"{self.name}.{kind}.{number}"
        return {"do": kind, "key": key, "nano": nano}, self.model.move(key, sign * nano)

    def refund(self) -> tuple[dict[str, Any], str]:
        return self.topup("refund", -1)

    def chargeback(self) -> tuple[dict[str, Any], str]:
        step, answer = self.topup("chargeback", -1)
        self.model.frozen = self.model.frozen or answer == "ok"
        return step, answer

    def thaw(self) -> tuple[dict[str, Any], str]:
        self.model.frozen = False
        return {}, ""

    def grant(self) -> tuple[dict[str, Any], str]:
        number = self.dice.randrange(200)
        nano, key = (number + 1) * 997, f"{self.name}.grant.{number}"
        self.moments += 1
        return {"key": key, "nano": nano, "moment": self.moments}, self.model.grant(key, nano)

    def end_grant(self) -> tuple[dict[str, Any], str]:
        """All grants whose time is over end, whosever they are; what leases hold of them goes another time."""
        self.ends_grant = bool(self.model.grants)
        gone = 0
        for life in self.everybody:
            if life.ends_grant:
                oldest = next(iter(life.model.grants))
                gone += life.model.end_oldest_grant()
                life.ends_grant = oldest in life.model.grants
        return {}, str(gone)

    def lease(self) -> tuple[dict[str, Any], str]:
        lease, need, want = self.dice.choice(self.leases), self.dice.randrange(2_000), self.dice.randrange(3_000)
        granted, available = self.model.lease(lease, need, want)
        return {"lease": lease, "need": need, "want": want}, f"{granted} {available}"

    def release(self) -> tuple[dict[str, Any], str]:
        lease, keep = self.dice.choice(self.leases), self.dice.choice([0, 0, 1, 500])
        return {"lease": lease, "keep": keep}, str(self.model.release(lease, keep))

    def expire_and_reap(self) -> tuple[dict[str, Any], str]:
        """A lease that expired is reaped by the next step of its tenant at the latest."""
        if self.model.expired:
            return {"do": "reap"}, str(sum(life.model.reap() for life in self.everybody))
        lease = self.dice.choice(self.leases)
        self.model.expire(lease)
        return {"do": "expire", "lease": lease}, ""

    def settle(self) -> tuple[dict[str, Any], str]:
        fresh = [self._fresh() for _ in range(self.dice.choice([1, 1, 1, 3]))]
        return self._settle(fresh)

    def settle_again(self) -> tuple[dict[str, Any], str]:
        if not self.lines:
            return self.settle()
        line = {**self.dice.choice(self.lines[-30:]), "cost_nano": self.dice.randrange(2_500), "final": True}
        return self._settle([line])

    def purge(self) -> tuple[dict[str, Any], str]:
        limit, model = self.dice.randrange(1, 6), self.model
        due = [request for request in self.old if request in model.usage and request not in model.purged][:limit]
        model.purged |= set(due)
        return {"limit": limit}, str(len(due))

    def _fresh(self) -> dict[str, Any]:
        request, final = new_request_id(), self.dice.random() < 0.7
        if self.dice.random() < 0.2:  # two days old, each a millisecond later: the purge goes by their time
            request = new_request_id(self.born_ms - 2 * 86_400_000 + len(self.old))
            self.old.append(request)
        return {
            **self.line, "request_id": request, "model": "a/m", "provider": "p",
            "prompt_tokens": 1, "completion_tokens": 1, "cost_nano": self.dice.randrange(2_500), "latency_ms": 1,
            "http_status": 200, "final": final, "lease_id": self.dice.choice(self.leases),
        }  # fmt: skip

    def _settle(self, lines: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
        self.lines += lines
        # As the database does: all lines of a batch count against a lease together.
        outcomes = [
            self.model.settle(line["request_id"], line["cost_nano"], line["lease_id"], final=line["final"])
            for line in lines
        ]
        return {"do": "settle", "lines": lines}, ",".join(outcomes)


KINDS = (
    *(["topup"] * 3), "refund", "chargeback", "thaw", "grant", "end_grant", *(["lease"] * 5), *(["release"] * 2),
    *(["expire_and_reap"] * 2), *(["settle"] * 6), *(["settle_again"] * 3), "purge",
)  # fmt: skip


PLAY = "select therouter.play(:n, cast(:s as json))"


class Player:
    """One connection that keeps its plans, and another one after a crash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def play(self, number: int, steps: str) -> str:
        """The answers of one batch."""
        if self._connection is None:
            self._connection = open_connection(self._database.superuser, timeout_s=60)
            self._connection.run("set plan_cache_mode = force_generic_plan")
        return str(self._connection.run(PLAY, n=number, s=steps)[0][0])

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def crash_during(database: Database, number: int, steps: str) -> str | None:
    """Let the server die while it plays; the answers if the batch was committed."""
    with ThreadPoolExecutor(1) as thread:
        playing = thread.submit(database.query, PLAY, n=number, s=steps)
        time.sleep(random.Random(number).uniform(0, 0.15))
        database.server.crash()
        database.server.start()
        playing.exception()
    rows = database.query("select answers from therouter.played where batch = :n", n=number)
    return str(rows[0][0]) if rows else None


@pytest.mark.timeout(0)
@pytest.mark.claim("C12", "A62")
@pytest.mark.parametrize("steps", [STEPS, pytest.param(STEPS_SLOW, marks=pytest.mark.slow)])
def test_a62_a_million_steps_of_the_ledger_are_those_of_its_reference(database: Database, steps: int) -> None:
    database.altered = True
    for statement in PLAYER:
        database.query(statement)
    admin = AdminStore(database.pool("admin"))
    dice = random.Random(steps)
    done: Counter[str] = Counter()
    lives: list[Life] = []
    player = Player(database)
    began = time.monotonic()
    for number in range(-(-steps // BATCH)):
        if number % BATCHES_OF_A_TENANT == 0:
            _retire(database)
            lives = []
            lives += [Life(database, dice, lives) for _ in range(TENANTS)]
        made = [dice.choice(lives).step() for _ in range(BATCH)]
        encoded = msgspec.json.encode([step for step, _ in made]).decode()
        answers = None
        if number % BATCHES_BETWEEN_CRASHES == 7:
            player.close()
            answers = crash_during(database, number, encoded)
            done["crash, undone" if answers is None else "crash, committed"] += 1
        if answers is None:
            answers = player.play(number, encoded)
        told = msgspec.json.decode(answers)
        wrong = [(step, want, got) for (step, want), got in zip(made, told, strict=True) if want != got]
        assert wrong == [], wrong[0]
        done.update(step["do"] for step, _ in made)
        if number % 100 == 0:
            assert [rule for rule in admin.check_ledger() if rule.difference] == []
    assert [rule for rule in admin.check_ledger() if rule.difference] == []
    player.close()
    took_s = time.monotonic() - began
    played = sum(count for kind, count in done.items() if not kind.startswith("crash"))
    sys.stdout.write(f"{played} steps in {took_s:.0f} s ({played / took_s:.0f} a second), {dict(done)}\n")
    assert played >= steps


def _retire(database: Database) -> None:
    """What the last ones left to expire and to end is not the next ones'."""
    database.query("select therouter.credit_reap(100000)")
    database.query("update therouter.credit_grant set ended_at = now() where ended_at is null")
