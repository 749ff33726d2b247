-- What is watched about money: budgets and balances that run out, keys that spend unusually, and sums that must agree.

-- One row per thing that somebody should know, written once. `notice` is what is said about it: of several thresholds that were
-- passed together only the highest.
create table alert (
  alert_id bigserial primary key,
  tenant_id uuid not null references tenant,
  kind varchar(16) not null check (kind in ('budget', 'low_balance', 'key_stopped')),
  scope varchar(8) not null check (scope in ('tenant', 'user', 'key')),
  subject varchar(36) not null,
  percent smallint not null check (percent in (0, 50, 80, 100)),
  period varchar(8) not null,
  since date not null,
  spent_nano bigint not null,
  limit_nano bigint not null,
  raised_at timestamptz not null default now(),
  noticed_at timestamptz,
  constraint alert_once unique (tenant_id, kind, scope, subject, period, since, limit_nano, percent)
);
create index alert_unnoticed on alert (alert_id) where noticed_at is null;
alter table alert enable row level security;
create policy own_rows on alert using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);

-- Write what is new. Budgets: at 50, 80 and 100 per cent, once in a period. A low balance: once a day.
create function operations_raise_alerts() returns bigint
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
    from spent s cross join (values (50), (80), (100)) p(percent)
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

-- Stop the keys that spent more in the last hour than their tenant's factor times their average hour of the week before; their
-- leases end at once. A key that was confirmed within a day is left alone. Returns how many.
create function operations_stop_unusual() returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  suspect record;
  gone record;
  stopped bigint := 0;
begin
  for suspect in
    select h.tenant_id, h.key_id, h.hour_nano, w.usual_nano
    from spending_policy p
    cross join lateral (
      select e.tenant_id, e.key_id, sum(e.cost_nano)::bigint as hour_nano from usage_event e
      where e.tenant_id = p.tenant_id and e.ts > now() - interval '1 hour' group by e.tenant_id, e.key_id
    ) h
    cross join lateral (
      select (coalesce(sum(r.cost_nano), 0) / 168)::bigint as usual_nano from usage_rollup r
      where r.tenant_id = p.tenant_id and r.key_id = h.key_id
        and r.day between period_start('daily') - 7 and period_start('daily') - 1
    ) w
    where p.unusual_factor is not null
      and h.hour_nano > greatest(p.unusual_floor_nano, w.usual_nano::numeric * p.unusual_factor)
    order by h.tenant_id, h.key_id
  loop
    perform from account a where a.tenant_id = suspect.tenant_id for no key update;
    insert into key_stop as s (key_id, tenant_id, hour_nano, usual_nano)
      values (suspect.key_id, suspect.tenant_id, suspect.hour_nano, suspect.usual_nano)
      on conflict (key_id) do update set hour_nano = excluded.hour_nano, usual_nano = excluded.usual_nano, stopped_at = now(),
        confirmed_at = null
      where s.confirmed_at < now() - interval '1 day';
    continue when not found;
    for gone in delete from lease l where l.key_id = suspect.key_id and l.tenant_id = suspect.tenant_id returning l.amount_nano
    loop
      update account a set held_nano = a.held_nano - gone.amount_nano where a.tenant_id = suspect.tenant_id;
    end loop;
    insert into alert (tenant_id, kind, scope, subject, percent, period, since, spent_nano, limit_nano)
      values (suspect.tenant_id, 'key_stopped', 'key', suspect.key_id, 0, 'daily', period_start('daily'), suspect.hour_nano,
        suspect.usual_nano)
      on conflict do nothing;
    stopped := stopped + 1;
  end loop;
  return stopped;
end $$;

-- What nobody has been told of, oldest first; and that it was told.
create function operations_unnoticed(p_limit int) returns table (
  alert_id bigint, tenant_id uuid, kind text, scope text, subject text, percent int, spent_nano bigint, limit_nano bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select a.alert_id, a.tenant_id, a.kind, a.scope, a.subject, a.percent, a.spent_nano, a.limit_nano from alert a
  where a.noticed_at is null order by a.alert_id limit p_limit
$$;

create function operations_noticed(p_alerts bigint[]) returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  n bigint;
begin
  update alert set noticed_at = now() where alert_id = any (p_alerts) and noticed_at is null;
  get diagnostics n = row_count;
  return n;
end $$;

-- A tenant's alerts, newest first.
create function alert_list(p_tenant uuid, p_limit int) returns table (
  raised_at timestamptz, kind text, scope text, subject text, percent int, period text, spent_nano bigint, limit_nano bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select a.raised_at, a.kind, a.scope, a.subject, a.percent, a.period, a.spent_nano, a.limit_nano from alert a
  where a.tenant_id = p_tenant order by a.alert_id desc limit least(greatest(p_limit, 1), 1000)
$$;

-- Every sum that must agree: those of the ledger, and for each tenant what its orders say was paid and kept against what was
-- booked for them. `flagged` orders are contradictions that a person has to look at, so they are a difference too.
create function operations_reconcile() returns table (rule text, left_nano numeric, right_nano numeric, difference_nano numeric)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select c.rule, c.left_nano, c.right_nano, c.difference_nano from ledger_check() c
  union all
  select 'payments_are_their_entries', coalesce(sum(coalesce(p.nano, 0)), 0), coalesce(sum(coalesce(e.nano, 0)), 0),
    coalesce(sum(abs(coalesce(p.nano, 0) - coalesce(e.nano, 0))), 0)
  from (
    select o.tenant_id, sum(payment_nano(o.amount_minor) - payment_nano(o.refunded_minor) - coalesce(d.nano, 0)) as nano
    from payment_order o
    left join lateral (
      select sum(payment_nano(x.amount_minor)) as nano from payment_dispute x where x.order_id = o.order_id and x.state = 'open'
    ) d on true
    where o.state in ('paid', 'refunded') group by o.tenant_id
  ) p
  full join (
    select e.tenant_id, sum(e.amount_nano) as nano from entry e
    where e.tenant_id is not null and e.kind in ('topup', 'refund', 'chargeback')
      and split_part(e.txn_key, ':', 2) in ('stripe', 'wechat')
    group by e.tenant_id
  ) e using (tenant_id)
  union all
  select 'no_payment_is_flagged', s.flagged, 0, s.flagged from operations_payment_summary() s
$$;

grant execute on function operations_raise_alerts(), operations_stop_unusual(), operations_unnoticed(int),
  operations_noticed(bigint[]), operations_reconcile() to operations;
grant execute on function alert_list(uuid, int) to admin;
