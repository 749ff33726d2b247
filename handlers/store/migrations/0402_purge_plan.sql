-- As in 0010, and the time of a batch grows with its rows alone: entries are found by their keys, one index look-up each. A
-- join against the removed rows compared every one of them with every entry there is.

create or replace function usage_purge(
  p_tenant uuid, p_cutoff timestamptz, p_limit int, out requests bigint, out cost_nano bigint
) language plpgsql security definer
set search_path = therouter, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  gone usage_gone[];
  keys text[];
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

  keys := array(select k.prefix || g.request_id from unnest(gone) g cross join (values ('use:'), ('fix:')) k(prefix));
  with removed as (
    delete from entry e where e.txn_key = any (keys) and e.kind in ('usage', 'correction')
    returning (uuid7_at(substr(e.txn_key, 5)::uuid) at time zone 'utc')::date as day, e.tenant_id, e.amount_nano
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
