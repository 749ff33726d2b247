-- What we say was paid, for comparing with what the company says.
create function payments_list_paid(p_provider text, p_since timestamptz, p_until timestamptz)
returns table (order_id uuid, company_payment text, amount_minor bigint)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select o.order_id, o.company_payment, o.amount_minor from payment_order o
    where o.provider = p_provider and o.paid_at >= p_since and o.paid_at < p_until order by o.paid_at
$$;
create index payment_order_paid on payment_order (paid_at) where paid_at is not null;
grant execute on function payments_list_paid(text, timestamptz, timestamptz) to payments;
