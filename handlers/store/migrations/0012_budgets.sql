-- Budgets: the most that a tenant, one of its users or one key may spend in a period. Enforced where credit is leased, under
-- the account's lock, so that replicas cannot overshoot together: what is spent, plus what is leased, plus what is needed now,
-- never exceeds a limit.

create table budget (
  tenant_id uuid not null references tenant,
  scope text not null check (scope in ('tenant', 'user')),
  subject uuid not null, -- the tenant's or the user's id
  period text not null check (period in ('daily', 'weekly', 'monthly', 'total')),
  limit_nano bigint not null check (limit_nano >= 0),
  primary key (tenant_id, scope, subject, period)
);
alter table budget enable row level security;
create policy own_rows on budget using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);

-- A lease belongs to a key, so that what it holds counts against the key's and its user's budgets too.
alter table lease add column key_id text, add column user_id uuid;
create index lease_key on lease (key_id);

-- The first day (UTC) of the period that runs now; weeks start on Monday.
create function period_start(p_period text) returns date
language sql stable set search_path = therouter, pg_temp as $$
  select case p_period
    when 'daily' then d.today
    when 'weekly' then date_trunc('week', d.today)::date
    when 'monthly' then date_trunc('month', d.today)::date
    else '-infinity'::date
  end
  from (select (now() at time zone 'utc')::date as today) d
$$;

-- The tightest budget that concerns a key: its scope and what is left of it; no row when nothing limits the key.
create function budget_room(p_tenant uuid, p_key text, out scope text, out room_nano bigint)
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
  select c.scope, (c.limit_nano - spent.nano - leased.nano)::bigint
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

-- As credit_lease, for one key and within every budget that concerns it. When a budget is too tight, nothing is granted, the
-- state is budget_key, budget_user or budget_tenant, and available_nano is what that budget still allows.
create function credit_lease_for_key(
  p_lease uuid, p_tenant uuid, p_key text, p_pod text, p_need_nano bigint, p_want_nano bigint, p_ttl_s int,
  out granted_nano bigint, out available_nano bigint, out state text
) language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  tightest record;
  want bigint := p_want_nano;
begin
  perform from account a where a.tenant_id = p_tenant for no key update;
  select b.scope, b.room_nano into tightest from budget_room(p_tenant, p_key) b;
  if tightest.scope is not null then
    if tightest.room_nano < p_need_nano then
      select greatest(least(a.balance_nano - a.held_nano, tightest.room_nano), 0) into available_nano
        from account a where a.tenant_id = p_tenant;
      granted_nano := 0;
      state := 'budget_' || tightest.scope;
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
    'budget_room(uuid, text)', 'credit_lease_for_key(uuid, uuid, text, text, bigint, bigint, int)']::regprocedure[]
  loop
    execute format('alter function %s set enable_seqscan = off', name);
    execute format('alter function %s set enable_hashjoin = off', name);
    execute format('alter function %s set enable_mergejoin = off', name);
  end loop;
end $$;
