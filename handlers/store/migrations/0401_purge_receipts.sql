-- The purge with guard rails and receipts.
--
-- purge_pending  what has been removed since the last receipt of a tenant; each batch adds to it in its own transaction, so
--                that a run which is killed leaves nothing unaccounted for: the next one writes the receipt.
-- purge_consent  rows that a tenant's own people have agreed to lose at once, by shortening the retention.

create table purge_pending (
  tenant_id uuid primary key references tenant,
  cutoff timestamptz not null,
  requests bigint not null,
  cost_nano bigint not null
);
create table purge_consent (
  tenant_id uuid primary key references tenant,
  requests bigint not null check (requests >= 0)
);
do $$
declare
  name text;
begin
  foreach name in array array['purge_pending', 'purge_consent'] loop
    execute format('alter table %I enable row level security', name);
    execute format(
      $policy$create policy own_rows on %I using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid)$policy$,
      name);
  end loop;
end $$;

-- What a shorter retention removes beyond the usual is what somebody has just confirmed.
create function note_purge_consent() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  insert into purge_consent as c (tenant_id, requests)
    select new.tenant_id, count(*) from usage_event e
    where e.tenant_id = new.tenant_id and e.ts < now() - make_interval(days => new.retention_days - 1)
    on conflict (tenant_id) do update set requests = excluded.requests;
  return null;
end $$;
create trigger tenant_consent after update of retention_days on tenant for each row
  when (new.retention_days < old.retention_days) execute function note_purge_consent();

-- What is due for each tenant, and the most that may go without a person's word: three times its busiest day, and what it has
-- consented to. `clock` is this database's.
create function operations_purge_plan() returns table (
  tenant_id uuid, cutoff timestamptz, due bigint, allowed bigint, clock timestamptz
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select d.tenant_id, d.cutoff, d.due,
    (3 * greatest(1000, coalesce((
      select max(s.requests) from (
        select sum(r.requests) as requests from usage_rollup r where r.tenant_id = d.tenant_id group by r.day) s), 0))
      + coalesce((select c.requests from purge_consent c where c.tenant_id = d.tenant_id), 0))::bigint,
    clock_timestamp()
  from usage_purge_due() d
$$;

-- One batch, remembered for its receipt.
create function operations_purge_batch(
  p_tenant uuid, p_cutoff timestamptz, p_limit int, out requests bigint, out cost_nano bigint
) language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  select u.requests, u.cost_nano into requests, cost_nano from usage_purge(p_tenant, p_cutoff, p_limit) u;
  if requests > 0 then
    insert into purge_pending as p (tenant_id, cutoff, requests, cost_nano)
      values (p_tenant, p_cutoff, operations_purge_batch.requests, operations_purge_batch.cost_nano)
      on conflict (tenant_id) do update set cutoff = greatest(p.cutoff, excluded.cutoff),
        requests = p.requests + excluded.requests, cost_nano = p.cost_nano + excluded.cost_nano;
    update purge_consent c set requests = greatest(c.requests - operations_purge_batch.requests, 0)
      where c.tenant_id = p_tenant;
  end if;
end $$;

create function operations_purge_pending() returns table (
  tenant_id uuid, cutoff timestamptz, requests bigint, cost_nano bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select p.tenant_id, p.cutoff, p.requests, p.cost_nano from purge_pending p order by p.tenant_id
$$;

-- Put a signed receipt into the tenant's audit trail; false when what it speaks of is not what is pending.
create function operations_purge_receipt(
  p_tenant uuid, p_cutoff timestamptz, p_requests bigint, p_cost_nano bigint, p_receipt text
) returns boolean language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  delete from purge_pending p where p.tenant_id = p_tenant and p.cutoff = p_cutoff and p.requests = p_requests
    and p.cost_nano = p_cost_nano;
  if not found then
    return false;
  end if;
  perform audit_append(p_tenant, 'usage.purge', p_tenant::text, null, jsonb_build_object(
    'cutoff', p_cutoff, 'requests', p_requests, 'cost_nano', p_cost_nano, 'receipt', p_receipt));
  return true;
end $$;

grant execute on function operations_purge_plan(), operations_purge_batch(uuid, timestamptz, int), operations_purge_pending(),
  operations_purge_receipt(uuid, timestamptz, bigint, bigint, text) to operations;
