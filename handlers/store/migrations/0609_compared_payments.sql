-- Every sum that must agree, as in 0602, and that it was compared: a company's list is complete after three days at most, so a day
-- of live payments that is older than six and was never compared is a difference.
create or replace function operations_reconcile() returns table (
  rule text, left_nano numeric, right_nano numeric, difference_nano numeric
) language sql stable security definer set search_path = therouter, pg_temp as $$
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
  union all
  select 'payments_are_compared', count(distinct (o.paid_at at time zone 'utc')::date), 0,
    count(distinct (o.paid_at at time zone 'utc')::date)
  from payment_order o
  where o.mode = 'live' and o.paid_at between now() - interval '40 days' and now() - interval '6 days'
    and not exists (select from payment_comparison c
      where c.provider = o.provider and c.day = (o.paid_at at time zone 'utc')::date)
$$;
