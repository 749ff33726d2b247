"""A database whose clock can be moved: its functions ask ours instead of the machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.database import Database

MOVABLE = r"""
create table therouter.test_clock (shift interval not null);
insert into therouter.test_clock values ('0');
create function therouter.moved_now() returns timestamptz language sql stable security definer set search_path = pg_catalog as
  $body$ select pg_catalog.now() + (select shift from therouter.test_clock) $body$;
create function therouter.moved_clock() returns timestamptz language sql volatile security definer set search_path = pg_catalog as
  $body$ select pg_catalog.clock_timestamp() + (select shift from therouter.test_clock) $body$;
grant execute on function therouter.moved_now(), therouter.moved_clock() to public;
do $$
declare
  source text;
begin
  for source in
    select pg_get_functiondef(p.oid) from pg_proc p
    where p.pronamespace = 'therouter'::regnamespace and p.proname !~ '^moved_' and p.prosrc ~ '\m(now|clock_timestamp)\(\)'
  loop
    source := regexp_replace(source, '\mnow\(\)', 'therouter.moved_now()', 'g');
    execute regexp_replace(source, '\mclock_timestamp\(\)', 'therouter.moved_clock()', 'g');
  end loop;
end $$
"""


class Clock:
    """The time in one database, from the moment that this is made on."""

    def __init__(self, database: Database) -> None:
        database.altered = True
        self._database = database
        self.shift = timedelta()
        database.query(MOVABLE)

    def move(self, days: float) -> None:
        """Let so many days go by."""
        self.shift += timedelta(days=days)
        self._database.query("update therouter.test_clock set shift = cast(:days as float8) * interval '1 day'",
                             days=self.shift / timedelta(days=1))  # fmt: skip

    def now(self) -> datetime:
        """What time it is there."""
        return datetime.now(UTC) + self.shift
