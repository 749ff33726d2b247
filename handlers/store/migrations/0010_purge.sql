-- Retention: a tenant's usage rows go when they are older than it says; their sums stay.
--
-- For each row that goes, in the same transaction: usage_purged takes its place in the sums, its entries are replaced by one
-- pair per tenant and day, and usage_token remembers its request id for as long as a spool might still send it again. A
-- line older than that is refused: it might have been recorded and purged.

create table usage_token (
  ts timestamptz not null,
  request_id uuid not null,
  primary key (ts, request_id)
);

-- The longest that a spool may be late, in days.
create function replay_days() returns int
language sql immutable set search_path = therouter, pg_temp as $$ select 35 $$;

create function refuse_purged_usage() returns trigger
language plpgsql set search_path = therouter, pg_temp as $$
begin
  perform from usage_token where ts = new.ts and request_id = new.request_id;
  if found then
    return null;  -- recorded, and purged since: to the caller, it exists
  end if;
  if new.ts < now() - make_interval(days => replay_days()) then
    perform from tenant where tenant_id = new.tenant_id and new.ts < now() - make_interval(days => retention_days);
    if found then
      raise exception using errcode = '23T01', constraint = 'usage_too_old', message = 'too old';
    end if;
  end if;
  return new;
end $$;
create trigger usage_event_once before insert on usage_event for each row execute function refuse_purged_usage();

-- What is due: per tenant, the moment before which rows go, and how many there are.
create function usage_purge_due() returns table (tenant_id uuid, cutoff timestamptz, due bigint)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select t.tenant_id, c.cutoff, count(*)
  from tenant t
  cross join lateral (select now() - make_interval(days => t.retention_days) as cutoff) c
  join usage_event e on e.tenant_id = t.tenant_id and e.ts < c.cutoff
  group by t.tenant_id, c.cutoff order by t.tenant_id
$$;
grant execute on function usage_purge_due() to operations;

create type usage_gone as (ts timestamptz, request_id uuid, cost_nano bigint);

-- Remove at most `p_limit` rows of a tenant from before `p_cutoff`; returns how many went and what they had cost.
create function usage_purge(
  p_tenant uuid, p_cutoff timestamptz, p_limit int, out requests bigint, out cost_nano bigint
) language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  gone usage_gone[];
  days date[];
  amounts bigint[];
  amount bigint;
  earlier bigint;
  i int;
begin
  perform from tenant where tenant_id = p_tenant and p_cutoff <= now() - make_interval(days => retention_days);
  if not found then
    raise exception using errcode = 'TR409', constraint = 'retention_not_over', message = 'retention';
  end if;
  perform from account where tenant_id = p_tenant for no key update;
  perform set_config('therouter.purge', 'on', true);
  with due as (
    select e.ts, e.request_id from usage_event e where e.tenant_id = p_tenant and e.ts < p_cutoff order by e.ts limit p_limit
  ), removed as (
    delete from usage_event e using due where e.ts = due.ts and e.request_id = due.request_id
    returning e.ts, e.request_id, e.cost_nano
  )
  select array_agg(row (r.ts, r.request_id, r.cost_nano)::usage_gone), count(*), coalesce(sum(r.cost_nano), 0)
    into gone, requests, cost_nano from removed r;

  insert into usage_token (ts, request_id)
    select g.ts, g.request_id from unnest(gone) g where g.ts > now() - make_interval(days => replay_days() + 1);
  insert into usage_purged as p (tenant_id, day, requests, cost_nano)
    select p_tenant, (g.ts at time zone 'utc')::date, count(*), sum(g.cost_nano) from unnest(gone) g group by 2
    on conflict (tenant_id, day) do update
      set requests = p.requests + excluded.requests, cost_nano = p.cost_nano + excluded.cost_nano;

  with removed as (
    delete from entry e
    using unnest(gone) g cross join (values ('use:'), ('fix:')) k(prefix)
    where e.txn_key = k.prefix || g.request_id and e.kind in ('usage', 'correction')
    returning (g.ts at time zone 'utc')::date as day, e.tenant_id, e.amount_nano
  ), summed as (
    select r.day, sum(r.amount_nano) as amount_nano from removed r where r.tenant_id is not null group by r.day
  )
  select array_agg(s.day), array_agg(s.amount_nano) into days, amounts from summed s;
  for i in 1 .. coalesce(array_length(days, 1), 0) loop
    amount := amounts[i];
    delete from entry e where e.txn_key = 'day:' || p_tenant || ':' || days[i] and e.system_account is not null
      returning -e.amount_nano into earlier;
    delete from entry e where e.txn_key = 'day:' || p_tenant || ':' || days[i];
    amount := amount + coalesce(earlier, 0);
    insert into entry (txn_key, tenant_id, system_account, amount_nano, kind, at)
      select 'day:' || p_tenant || ':' || days[i], side.tenant_id, side.other, side.amount_nano, 'rollup', days[i]
      from (values (p_tenant, null::system_account, amount), (null::uuid, 'revenue', -amount)) side(tenant_id, other, amount_nano)
      where side.amount_nano <> 0;
  end loop;
  perform set_config('therouter.purge', 'off', true);
end $$;
grant execute on function usage_purge(uuid, timestamptz, int) to operations;

-- Forget tokens that no spool can ask for, and drop partitions that the purge has emptied; returns how many of each.
create function operations_tidy_usage(out tokens int, out partitions int)
language plpgsql security definer set search_path = therouter, pg_temp set lock_timeout = '2s' as $$
declare
  name text;
  has_rows boolean;
begin
  perform pg_advisory_xact_lock(hashtextextended('therouter.partitions', 0));
  delete from usage_token where ts < now() - make_interval(days => replay_days() + 1);
  get diagnostics tokens = row_count;
  partitions := 0;
  for name in
    select c.relname from pg_inherits h join pg_class c on c.oid = h.inhrelid
    where h.inhparent = 'usage_event'::regclass and c.relname ~ '^usage_event_[0-9]{8}$'
      and c.relname < 'usage_event_' || to_char(now() at time zone 'utc' - interval '2 days', 'YYYYMMDD')
  loop
    execute format('lock table %I in access exclusive mode', name);
    execute format('select exists (select from %I)', name) into has_rows;
    if not has_rows then
      execute format('drop table %I', name);
      partitions := partitions + 1;
    end if;
  end loop;
end $$;
grant execute on function operations_tidy_usage() to operations;

-- The roles that a tenant's people have.
alter table app_user drop constraint app_user_role_check;
alter table app_user add constraint app_user_role_check
  check (role in ('owner', 'admin', 'billing', 'member', 'viewer', 'auditor'));
