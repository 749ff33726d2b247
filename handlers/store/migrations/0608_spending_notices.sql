-- Notices about spending reach people, once each; a tenant decides at which shares of a budget; its administrators see and decide
-- what is watched. See 0601 and 0602.

alter table spending_policy add column thresholds smallint[] not null default '{50,80,100}'
  check (cardinality(thresholds) between 1 and 5 and 0 < all (thresholds) and 100 >= all (thresholds));
alter table alert drop constraint alert_percent_check;
alter table alert add constraint alert_percent_check check (percent between 0 and 100);
alter table alert add column claimed_at timestamptz;

-- Who has been told of what: a notice that went out does not go out again because another one failed.
create table alert_told (
  alert_id bigint not null references alert,
  user_id uuid not null references app_user,
  told_at timestamptz not null default now(),
  primary key (alert_id, user_id)
);
alter table alert_told enable row level security;

-- As in 0602, at the thresholds that the tenant has set.
create or replace function operations_raise_alerts() returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  raised bigint;
begin
  with cap as (
    select k.tenant_id, 'key' as scope, k.key_id::text as subject, coalesce(k.limits ->> 'spend_period', '') as period,
      (k.limits ->> 'spend_nano')::bigint as limit_nano, k.key_id, null::uuid as user_id
    from api_key k where k.state = 'active' and k.limits ->> 'spend_nano' is not null
    union all
    select b.tenant_id, b.scope, b.subject::text, b.period, b.limit_nano, null, case b.scope when 'user' then b.subject end
    from budget b
  ),
  spent as (
    select c.*, period_start(c.period) as since, (
      select coalesce(sum(r.cost_nano), 0)::bigint from usage_rollup r
      where r.tenant_id = c.tenant_id and r.day >= period_start(c.period)
        and (c.key_id is null or r.key_id = c.key_id) and (c.user_id is null or r.user_id = c.user_id)) as spent_nano
    from cap c where c.limit_nano > 0
  ),
  fresh as (
    insert into alert (tenant_id, kind, scope, subject, percent, period, since, spent_nano, limit_nano)
    select s.tenant_id, 'budget', s.scope, s.subject, p.percent, s.period, s.since, s.spent_nano, s.limit_nano
    from spent s left join spending_policy w using (tenant_id)
    cross join lateral (select distinct unnest(coalesce(w.thresholds, '{50,80,100}')) as percent) p
    where s.spent_nano::numeric * 100 >= s.limit_nano::numeric * p.percent
    union all
    select a.tenant_id, 'low_balance', 'tenant', a.tenant_id::text, 0, 'daily', period_start('daily'), a.balance_nano,
      p.low_balance_nano
    from account a join spending_policy p using (tenant_id) where a.balance_nano < p.low_balance_nano and a.state = 'active'
    on conflict do nothing
    returning alert_id
  )
  select count(*) into raised from fresh;
  -- The highest threshold speaks for those below it.
  update alert a set noticed_at = now() from alert higher
    where a.noticed_at is null and a.kind = 'budget' and higher.percent > a.percent
      and (higher.tenant_id, higher.kind, higher.scope, higher.subject, higher.period, higher.since, higher.limit_nano)
        = (a.tenant_id, a.kind, a.scope, a.subject, a.period, a.since, a.limit_nano);
  return raised;
end $$;

-- What nobody has been told of, oldest first. It is the caller's for ten minutes: two runs at a time do not say it twice.
drop function operations_unnoticed(int);
create function operations_claim_alerts(p_limit int) returns table (
  alert_id bigint, tenant_id uuid, kind text, scope text, subject text, percent int, spent_nano bigint, limit_nano bigint
) language sql security definer set search_path = therouter, pg_temp as $$
  with mine as (
    update alert a set claimed_at = now() where a.alert_id in (
      select o.alert_id from alert o
      where o.noticed_at is null and coalesce(o.claimed_at, '-infinity') < now() - interval '10 minutes'
      order by o.alert_id limit p_limit for update skip locked)
    returning a.*
  )
  select m.alert_id, m.tenant_id, m.kind, m.scope, m.subject, m.percent, m.spent_nano, m.limit_nano from mine m order by m.alert_id
$$;

-- Whom an alert concerns and who has not been told: those who look after the tenant's money, and the user or the key's holder.
create function operations_alert_readers(p_alert bigint) returns table (user_id uuid, email text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select u.user_id, u.email from alert a join app_user u using (tenant_id)
  where a.alert_id = p_alert and u.state = 'active'
    and (u.role in ('owner', 'admin', 'billing')
      or (a.scope = 'user' and u.user_id::text = a.subject)
      or (a.scope = 'key' and u.user_id = (select k.user_id from api_key k where k.key_id = a.subject)))
    and not exists (select from alert_told t where t.alert_id = a.alert_id and t.user_id = u.user_id)
  order by u.created_at, u.user_id
$$;

create function operations_told(p_alert bigint, p_user uuid) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  insert into alert_told (alert_id, user_id) values (p_alert, p_user) on conflict do nothing
$$;
grant execute on function operations_claim_alerts(int), operations_alert_readers(bigint), operations_told(bigint, uuid)
  to operations;

-- The control plane. What a tenant decides itself; what it pays beyond the list price is the operator's decision.

grant select, insert, update on spending_policy to therouter_control;
grant select on alert to therouter_control;
grant select, update on key_stop to therouter_control;

create function control_spending(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:read');
begin
  return (
    select jsonb_build_object(
      'thresholds', coalesce(p.thresholds, '{50,80,100}'), 'unusual_factor', p.unusual_factor,
      'unusual_floor_nano', coalesce(p.unusual_floor_nano, 1000000000), 'low_balance_nano', p.low_balance_nano,
      'markup_ppm', t.markup_ppm, 'byok_fee_ppm', coalesce(p.byok_fee_ppm, 0),
      'stopped_keys', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'key_id', s.key_id, 'hour_nano', s.hour_nano, 'usual_nano', s.usual_nano, 'stopped_at', unix_s(s.stopped_at))
          order by s.stopped_at, s.key_id), '[]')
        from key_stop s where s.tenant_id = mine and s.confirmed_at is null))::text
    from tenant t left join spending_policy p using (tenant_id) where t.tenant_id = mine);
end $$;

-- p_change: which of thresholds, unusual_factor, unusual_floor_nano, low_balance_nano change; null turns a watch off.
create function control_set_spending(p_caller jsonb, p_change jsonb) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:write');
begin
  insert into spending_policy (tenant_id) values (mine) on conflict do nothing;
  update spending_policy p set
    thresholds = case when p_change ? 'thresholds'
      then array(select distinct v::smallint from jsonb_array_elements_text(p_change -> 'thresholds') v order by 1)
      else p.thresholds end,
    unusual_factor = case when p_change ? 'unusual_factor' then (p_change ->> 'unusual_factor')::int else p.unusual_factor end,
    unusual_floor_nano = coalesce((p_change ->> 'unusual_floor_nano')::bigint, p.unusual_floor_nano),
    low_balance_nano = case when p_change ? 'low_balance_nano'
      then (p_change ->> 'low_balance_nano')::bigint else p.low_balance_nano end
  where p.tenant_id = mine;
  return control_spending(p_caller);
end $$;

create function control_alerts(p_caller jsonb, p_limit int) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:read');
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'raised_at', unix_s(s.raised_at), 'kind', s.kind, 'scope', s.scope, 'subject', s.subject, 'percent', s.percent,
        'period', s.period, 'spent_nano', s.spent_nano, 'limit_nano', s.limit_nano, 'noticed', s.noticed_at is not null
      ) order by s.alert_id desc), '[]')::text
    from (select * from alert a where a.tenant_id = mine order by a.alert_id desc limit p_limit) s);
end $$;

-- A person says that what a stopped key spent is right: it goes on.
create function control_confirm_key(p_caller jsonb, p_key_id text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:write');
begin
  update key_stop set confirmed_at = now() where tenant_id = mine and key_id = p_key_id and confirmed_at is null;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'key_not_stopped', message = 'key';
  end if;
  return control_spending(p_caller);
end $$;

-- Operators: what a tenant pays, in parts per million of the list price; null leaves it. It is in the tenant's own trail.
create function control_set_pricing(p_caller jsonb, p_tenant uuid, p_markup_ppm int, p_byok_fee_ppm int) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'tenants:write', 900);
  update tenant set markup_ppm = coalesce(p_markup_ppm, markup_ppm) where tenant_id = p_tenant and state <> 'closed';
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  if p_byok_fee_ppm is not null then
    insert into spending_policy as p (tenant_id, byok_fee_ppm) values (p_tenant, p_byok_fee_ppm)
      on conflict (tenant_id) do update set byok_fee_ppm = excluded.byok_fee_ppm;
  end if;
  return (
    select jsonb_build_object('tenant_id', t.tenant_id, 'markup_ppm', t.markup_ppm, 'byok_fee_ppm', coalesce(p.byok_fee_ppm, 0))::text
    from tenant t left join spending_policy p using (tenant_id) where t.tenant_id = p_tenant);
end $$;
grant execute on function control_set_pricing(jsonb, uuid, int, int) to admin;

-- Everything that is kept about the account, as in 0304, with its limits, what it decided about spending, and its alerts.
set local role therouter_control;
create or replace function control_export(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'account:export', 900);
begin
  return (
    select jsonb_build_object(
      'tenant', tenant_json(t),
      'users', (select coalesce(jsonb_agg(user_json(u) order by u.user_id), '[]') from app_user u
        where u.tenant_id = mine and u.state = 'active'),
      'keys', (select coalesce(jsonb_agg(key_json(k) order by k.key_id), '[]') from api_key k where k.tenant_id = mine),
      'byok', (select coalesce(jsonb_agg(byok_json(b) order by b.record_id), '[]') from byok_key b where b.tenant_id = mine),
      'budgets', (select coalesce(jsonb_agg(to_jsonb(b) - 'tenant_id'), '[]') from budget b where b.tenant_id = mine),
      'limits', (select coalesce(jsonb_agg(to_jsonb(l) - 'tenant_id'), '[]') from rate_limit l where l.tenant_id = mine),
      'spending', (select to_jsonb(p) - 'tenant_id' from spending_policy p where p.tenant_id = mine),
      'alerts', (select coalesce(jsonb_agg(to_jsonb(a) - 'tenant_id' order by a.alert_id), '[]') from alert a
        where a.tenant_id = mine),
      'entries', (select coalesce(jsonb_agg(jsonb_build_object(
          'at', unix_s(e.at), 'kind', e.kind, 'amount_nano', e.amount_nano, 'reason', e.reason) order by e.entry_id), '[]')
        from entry e where e.tenant_id = mine and e.kind not in ('usage', 'correction')))::text
    from tenant t where t.tenant_id = mine);
end $$;
set local role therouter_owner;

do $$
declare
  name regprocedure;
begin
  foreach name in array array[
    'control_spending(jsonb)', 'control_set_spending(jsonb, jsonb)', 'control_alerts(jsonb, int)',
    'control_confirm_key(jsonb, text)']::regprocedure[]
  loop
    execute format('grant execute on function %s to admin, therouter_control', name);
    execute format('alter function %s owner to therouter_control', name);
  end loop;
end $$;
