-- Places for open requests, refusals that say when a budget begins anew, and keys that are stopped because they spend unusually.

-- How many requests of a key each process has open. A process that dies is forgotten when its rows are not renewed.
create unlogged table place (
  key_id text not null,
  process uuid not null,
  used bigint not null,
  expires_at timestamptz not null,
  primary key (key_id, process)
);
alter table place enable row level security;

-- Take a place for one more open request of a key; false when all processes together have `p_limit` open.
create function place_take(p_key text, p_process uuid, p_limit bigint, p_ttl_s int) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('place:' || p_key, 0));
  delete from place p where p.key_id = p_key and p.expires_at < clock_timestamp();
  if (select coalesce(sum(p.used), 0) from place p where p.key_id = p_key) >= p_limit then
    return false;
  end if;
  insert into place as p values (p_key, p_process, 1, clock_timestamp() + make_interval(secs => p_ttl_s))
    on conflict (key_id, process) do update set used = p.used + 1, expires_at = excluded.expires_at;
  return true;
end $$;
grant execute on function place_take(text, uuid, bigint, int) to gateway;

create function place_give(p_key text, p_process uuid) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('place:' || p_key, 0));
  delete from place p where p.key_id = p_key and p.process = p_process and p.used <= 1;
  if not found then
    update place p set used = p.used - 1 where p.key_id = p_key and p.process = p_process;
  end if;
end $$;
grant execute on function place_give(text, uuid) to gateway;

-- Keep the rows of a process alive.
create function place_renew(p_process uuid, p_ttl_s int) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  update place set expires_at = clock_timestamp() + make_interval(secs => p_ttl_s)
  where process = p_process
$$;
create index place_process on place (process);
grant execute on function place_renew(uuid, int) to gateway;

-- What a tenant's administrator has decided about spending.
create table spending_policy (
  tenant_id uuid primary key references tenant,
  unusual_factor int check (unusual_factor between 2 and 10000), -- null: keys are never stopped
  unusual_floor_nano bigint not null default 1000000000 check (unusual_floor_nano >= 0),
  low_balance_nano bigint check (low_balance_nano >= 0), -- null: nobody is told
  byok_fee_ppm int not null default 0 check (byok_fee_ppm between 0 and 1000000)
);
alter table spending_policy enable row level security;
create policy own_rows on spending_policy using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);
create trigger a_audit after insert or update or delete on spending_policy
  for each row execute function audit_change('spending_policy', 'tenant_id');
create trigger spending_policy_change after insert or update or delete on spending_policy
  for each row execute function note_key_change();

-- Keys that spent unusually much in an hour: they spend nothing more until somebody confirms that it is right.
create table key_stop (
  key_id varchar(16) primary key references api_key,
  tenant_id uuid not null references tenant,
  hour_nano bigint not null,
  usual_nano bigint not null, -- the average hour of the week before
  stopped_at timestamptz not null default now(),
  confirmed_at timestamptz
);
alter table key_stop enable row level security;
create policy own_rows on key_stop using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);
create trigger a_audit after insert or update or delete on key_stop for each row execute function audit_change('key_stop', 'key_id');

-- Seconds until a period begins anew; 0 for one that never does.
create function period_left_s(p_period text) returns int
language sql stable set search_path = therouter, pg_temp as $$
  select case when next.day is null then 0
    else ceil(extract(epoch from next.day - (now() at time zone 'utc')))::int end
  from (select case p_period
    when 'daily' then period_start(p_period) + interval '1 day'
    when 'weekly' then period_start(p_period) + interval '1 week'
    when 'monthly' then period_start(p_period) + interval '1 month'
  end as day) next
$$;

-- The tightest budget that concerns a key, as in 0012, and its period.
drop function budget_room(uuid, text);
create function budget_room(p_tenant uuid, p_key text, out scope text, out room_nano bigint, out period text)
language sql stable set search_path = therouter, pg_temp as $$
  with owner as (select k.user_id, k.limits from api_key k where k.key_id = p_key and k.tenant_id = p_tenant),
  cap as (
    select 'key'::text as scope, null::uuid as subject, coalesce(o.limits ->> 'spend_period', '') as period,
      (o.limits ->> 'spend_nano')::bigint as limit_nano
    from owner o where o.limits ->> 'spend_nano' is not null
    union all
    select b.scope, b.subject, b.period, b.limit_nano from budget b
    where b.tenant_id = p_tenant and (b.scope = 'tenant' or b.subject = (select o.user_id from owner o))
  )
  select c.scope, (c.limit_nano - spent.nano - leased.nano)::bigint, c.period
  from cap c
  cross join lateral (
    select coalesce(sum(r.cost_nano), 0) as nano from usage_rollup r
    where r.tenant_id = p_tenant and r.day >= period_start(c.period)
      and (c.scope <> 'key' or r.key_id = p_key) and (c.scope <> 'user' or r.user_id = c.subject)
  ) spent
  cross join lateral (
    select coalesce(sum(l.amount_nano), 0) as nano from lease l
    where l.tenant_id = p_tenant
      and (c.scope <> 'key' or l.key_id = p_key) and (c.scope <> 'user' or l.user_id = c.subject)
  ) leased
  order by 2 limit 1
$$;

-- As in 0012; a key that is stopped gets nothing (state key_stopped), and a refusal by a budget says when that begins anew.
drop function credit_lease_for_key(uuid, uuid, text, text, bigint, bigint, int);
create function credit_lease_for_key(
  p_lease uuid, p_tenant uuid, p_key text, p_pod text, p_need_nano bigint, p_want_nano bigint, p_ttl_s int,
  out granted_nano bigint, out available_nano bigint, out state text, out reset_s int
) language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  tightest record;
  want bigint := p_want_nano;
begin
  reset_s := 0;
  perform from account a where a.tenant_id = p_tenant for no key update;
  perform from key_stop s where s.key_id = p_key and s.confirmed_at is null;
  if found then
    granted_nano := 0;
    available_nano := 0;
    state := 'key_stopped';
    return;
  end if;
  select b.scope, b.room_nano, b.period into tightest from budget_room(p_tenant, p_key) b;
  if tightest.scope is not null then
    if tightest.room_nano < p_need_nano then
      select greatest(least(a.balance_nano - a.held_nano, tightest.room_nano), 0) into available_nano
        from account a where a.tenant_id = p_tenant;
      granted_nano := 0;
      state := 'budget_' || tightest.scope;
      reset_s := period_left_s(tightest.period);
      return;
    end if;
    if tightest.room_nano / 64 < want then
      want := p_need_nano;
    end if;
  end if;
  select l.granted_nano, l.available_nano, l.state into granted_nano, available_nano, state
    from credit_lease(p_lease, p_tenant, p_pod, p_need_nano, want, p_ttl_s) l;
  if granted_nano > 0 then
    update lease l set key_id = p_key, user_id = (select k.user_id from api_key k where k.key_id = p_key)
      where l.lease_id = p_lease and l.key_id is null;
  end if;
  if tightest.scope is not null then
    available_nano := least(available_nano, tightest.room_nano);
  end if;
end $$;
grant execute on function credit_lease_for_key(uuid, uuid, text, text, bigint, bigint, int) to gateway;

-- As in 0011: look-ups by key use the index from the first call.
do $$
declare
  name regprocedure;
begin
  foreach name in array array[
    'budget_room(uuid, text)', 'credit_lease_for_key(uuid, uuid, text, text, bigint, bigint, int)',
    'place_take(text, uuid, bigint, int)', 'place_give(text, uuid)', 'place_renew(uuid, int)']::regprocedure[]
  loop
    execute format('alter function %s set enable_seqscan = off', name);
    execute format('alter function %s set enable_hashjoin = off', name);
    execute format('alter function %s set enable_mergejoin = off', name);
  end loop;
end $$;

-- Set what is decided about spending; null factor or balance: off.
create function admin_set_spending(
  p_tenant uuid, p_unusual_factor int, p_unusual_floor_nano bigint, p_low_balance_nano bigint, p_byok_fee_ppm int
) returns void language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from tenant where tenant_id = p_tenant;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  insert into spending_policy as s values (p_tenant, p_unusual_factor, p_unusual_floor_nano, p_low_balance_nano, p_byok_fee_ppm)
    on conflict (tenant_id) do update set unusual_factor = excluded.unusual_factor,
      unusual_floor_nano = excluded.unusual_floor_nano, low_balance_nano = excluded.low_balance_nano,
      byok_fee_ppm = excluded.byok_fee_ppm;
end $$;

-- A person says that what a key spent is right; false when it is not stopped.
create function admin_confirm_key(p_tenant uuid, p_key text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update key_stop set confirmed_at = now() where key_id = p_key and tenant_id = p_tenant and confirmed_at is null;
  return found;
end $$;
grant execute on function admin_set_spending(uuid, int, bigint, bigint, int), admin_confirm_key(uuid, text) to admin;

-- What a tenant pays for the use of its own provider keys, in parts per million of the list price.
create function gateway_byok_fee(p_tenant uuid) returns int
language sql stable security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
  select coalesce((select p.byok_fee_ppm from spending_policy p where p.tenant_id = p_tenant), 0)
$$;
grant execute on function gateway_byok_fee(uuid) to gateway, admin;
