-- What tenants ask of the payments room, and what its schedule picks up.

-- Begin a top-up. The same request key gives the same order; with another amount it is refused.
create function payments_open_order(
  p_order uuid, p_tenant uuid, p_provider text, p_amount bigint, p_currency text, p_mode text, p_keep_method boolean,
  p_customer text, p_request_key text, p_life_s int
) returns setof payment_order language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  o payment_order;
begin
  perform from account where tenant_id = p_tenant and state = 'active' for update;
  if not found then
    raise exception using errcode = 'TR403', constraint = 'account_inactive', message = 'account';
  end if;
  if (select count(*) from payment_order where tenant_id = p_tenant and state = 'pending') >= 20 then
    raise exception using errcode = 'TR429', constraint = 'orders_open', message = 'orders';
  end if;
  insert into payment_order (
    order_id, tenant_id, provider, kind, amount_minor, currency, mode, keep_method, customer, request_key, expires_at)
  values (p_order, p_tenant, p_provider, 'checkout', p_amount, p_currency, p_mode, p_keep_method, p_customer,
    nullif(p_request_key, ''), now() + make_interval(secs => p_life_s))
  on conflict (tenant_id, request_key) do nothing returning * into o;
  if not found then
    select * into o from payment_order where tenant_id = p_tenant and request_key = p_request_key;
    if o.amount_minor <> p_amount or o.keep_method <> p_keep_method then
      raise exception using errcode = 'TR409', constraint = 'request_key_reused', message = 'key';
    end if;
  end if;
  return next o;
end $$;

create function payments_bind_order(p_order uuid, p_company_order text) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_order set company_order = p_company_order where order_id = p_order and company_order = ''
$$;

create function payments_find_order(p_tenant uuid, p_order uuid) returns setof payment_order
language sql stable security definer set search_path = therouter, pg_temp as $$
  select * from payment_order where order_id = p_order and (p_tenant is null or tenant_id = p_tenant)
$$;

create function payments_list_orders(p_tenant uuid, p_limit int) returns setof payment_order
language sql stable security definer set search_path = therouter, pg_temp as $$
  select * from payment_order where tenant_id = p_tenant order by created_at desc, order_id limit least(p_limit, 100)
$$;

-- Pending orders that it is time to ask about: at once when they are young, ever more rarely as they age.
create function payments_claim_orders(p_limit int) returns setof payment_order
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_order set checked_at = now() where order_id in (
    select order_id from payment_order
    where state = 'pending'
      and coalesce(checked_at, created_at) < now() - greatest(interval '15 seconds', (now() - created_at) / 20)
    order by coalesce(checked_at, created_at) limit p_limit for update skip locked)
  returning *
$$;

-- One order, unless it was asked about a moment ago: a waiting customer's own question.
create function payments_claim_order(p_tenant uuid, p_order uuid) returns setof payment_order
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_order set checked_at = now()
    where order_id = p_order and tenant_id = p_tenant and state = 'pending'
      and coalesce(checked_at, created_at) < now() - interval '3 seconds'
  returning *
$$;

-- Take the money of a refund out of the balance, before the company is asked for it: it cannot be spent meanwhile.
create function payments_open_refund(p_refund uuid, p_tenant uuid, p_order uuid, p_amount bigint, p_request_key text)
returns setof payment_refund language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  a account;
  o payment_order;
  r payment_refund;
begin
  select * into a from account where tenant_id = p_tenant for update;
  select * into o from payment_order where order_id = p_order and tenant_id = p_tenant for update;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'order_unknown', message = 'order';
  end if;
  select * into r from payment_refund where order_id = p_order and request_key = nullif(p_request_key, '');
  if found then
    if p_amount is not null and r.amount_minor <> p_amount then
      raise exception using errcode = 'TR409', constraint = 'request_key_reused', message = 'key';
    end if;
    return next r;
    return;
  end if;
  p_amount := coalesce(p_amount, o.amount_minor - o.refunded_minor);
  if o.state <> 'paid' or o.disputed or p_amount <= 0 then
    raise exception using errcode = 'TR409', constraint = 'order_not_refundable', message = 'order';
  elsif p_amount > o.amount_minor - o.refunded_minor then
    raise exception using errcode = 'TR409', constraint = 'refund_exceeds_payment', message = 'amount';
  elsif a.state <> 'active' then
    raise exception using errcode = 'TR403', constraint = 'account_inactive', message = 'account';
  elsif a.balance_nano - a.held_nano < payment_nano(p_amount) then
    raise exception using errcode = 'TR409', constraint = 'credit_spent', message = 'balance';
  end if;
  insert into payment_refund (refund_id, order_id, amount_minor, request_key)
    values (p_refund, p_order, p_amount, nullif(p_request_key, '')) returning * into r;
  perform payment_set_refunded(p_order, p_amount);
  perform credit_refund(o.provider || ':' || p_refund, p_tenant, payment_nano(p_amount));
  return next r;
end $$;

create function payments_bind_refund(p_refund uuid, p_company_refund text) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_refund set company_refund = p_company_refund where refund_id = p_refund and company_refund = ''
$$;

create function payments_list_refunds(p_tenant uuid, p_order uuid) returns setof payment_refund
language sql stable security definer set search_path = therouter, pg_temp as $$
  select r.* from payment_refund r join payment_order o using (order_id)
    where o.order_id = p_order and o.tenant_id = p_tenant order by r.created_at limit 100
$$;

create function payments_claim_refunds(p_limit int) returns setof payment_refund
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_refund set checked_at = now() where refund_id in (
    select refund_id from payment_refund
    where state = 'pending'
      and coalesce(checked_at, created_at) < now() - greatest(interval '15 seconds', (now() - created_at) / 20)
    order by coalesce(checked_at, created_at) limit p_limit for update skip locked)
  returning *
$$;

create function payments_list_receipts(p_tenant uuid, p_limit int)
returns table (receipt_id text, order_id uuid, amount_minor bigint, currency text, issued_at timestamptz)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select r.receipt_id, r.order_id, o.amount_minor, o.currency, r.issued_at
    from payment_receipt r join payment_order o using (order_id)
    where o.tenant_id = p_tenant order by r.issued_at desc, r.receipt_id limit least(p_limit, 100)
$$;

create function payments_find_receipt(p_tenant uuid, p_receipt text) returns boolean
language sql stable security definer set search_path = therouter, pg_temp as $$
  select exists (select from payment_receipt r join payment_order o using (order_id)
    where r.receipt_id = p_receipt and o.tenant_id = p_tenant)
$$;

create function payments_list_methods(p_tenant uuid) returns setof payment_method
language sql stable security definer set search_path = therouter, pg_temp as $$
  select * from payment_method where tenant_id = p_tenant order by created_at, method_id limit 100
$$;

-- Forget a method; a standing order that would use it ends with it.
create function payments_remove_method(p_tenant uuid, p_method text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update payment_profile set automatic_method = '', automatic_amount_minor = 0
    where tenant_id = p_tenant and automatic_method = p_method;
  delete from payment_method where tenant_id = p_tenant and method_id = p_method;
  return found;
end $$;

create function payments_find_profile(p_tenant uuid) returns setof payment_profile
language sql security definer set search_path = therouter, pg_temp as $$
  select * from payment_profile where tenant_id = p_tenant
$$;

create function payments_set_customer(p_tenant uuid, p_customer text) returns setof payment_profile
language sql security definer set search_path = therouter, pg_temp as $$
  insert into payment_profile (tenant_id, customer) values (p_tenant, p_customer)
    on conflict (tenant_id) do update
      set customer = case when payment_profile.customer = '' then excluded.customer else payment_profile.customer end
    returning *
$$;

create function payments_set_tax_id(p_tenant uuid, p_tax_id text) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_profile set tax_id = p_tax_id where tenant_id = p_tenant
$$;

-- Amount 0 ends the standing order.
create function payments_set_automatic(p_tenant uuid, p_threshold bigint, p_amount bigint, p_method text)
returns setof payment_profile language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_amount > 0 then
    perform from payment_method where tenant_id = p_tenant and method_id = p_method for share;
    if not found then
      raise exception using errcode = 'TR404', constraint = 'method_unknown', message = 'method';
    end if;
  end if;
  return query
    update payment_profile set
      automatic_threshold_minor = p_threshold,
      automatic_amount_minor = p_amount,
      automatic_method = case when p_amount > 0 then p_method else '' end,
      automatic_failures = 0,
      automatic_tried_at = null
    where tenant_id = p_tenant returning *;
end $$;

-- Orders for the tenants whose credit fell below their threshold. At most one at a time and five a day each; after a decline
-- it waits longer and longer, and after three it stops until the tenant sets it again.
create function payments_open_automatic(p_provider text, p_currency text, p_mode text, p_limit int) returns setof payment_order
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  p payment_profile;
begin
  for p in
    select f.* from payment_profile f join account a using (tenant_id)
    where f.automatic_amount_minor > 0
      and f.automatic_failures < 3
      and a.state = 'active'
      and a.balance_nano - a.held_nano < payment_nano(f.automatic_threshold_minor)
      and coalesce(f.automatic_tried_at, '-infinity') < now() - interval '5 minutes' * power(4, f.automatic_failures)
        * (f.automatic_failures > 0)::int
      and not exists (
        select from payment_order o where o.tenant_id = f.tenant_id and o.kind = 'automatic' and o.state = 'pending')
      and 5 > (select count(*) from payment_order o
        where o.tenant_id = f.tenant_id and o.kind = 'automatic' and o.created_at > now() - interval '1 day')
    order by f.tenant_id limit p_limit
  loop
    update payment_profile set automatic_tried_at = now() where tenant_id = p.tenant_id;
    return query
      insert into payment_order (
        order_id, tenant_id, provider, kind, amount_minor, currency, mode, customer, method, expires_at, checked_at)
      values (gen_random_uuid(), p.tenant_id, p_provider, 'automatic', p.automatic_amount_minor, p_currency, p_mode,
        p.customer, p.automatic_method, now() + interval '20 hours', now())
      on conflict do nothing returning *;
  end loop;
end $$;

-- Who holds an API key: what its verifier needs, and nothing that the gateway alone may know.
create function payments_key(p_key_id text) returns table (
  key_id text, hash text, state text, expires_at bigint, tenant_id uuid, user_id uuid, account_state text, limits text
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select k.key_id, k.hash, k.state, k.expires_at, k.tenant_id, k.user_id, k.account_state, k.limits from gateway_key(p_key_id) k
$$;

-- owner | admin | member | viewer: who may charge kept methods and send money back.
create function payments_role(p_user uuid) returns text
language sql stable security definer set search_path = therouter, pg_temp as $$
  select u.role from app_user u where u.user_id = p_user
$$;

-- Events are replay tokens: the freshness of a notification is five minutes and a company tries for three days.
create function payments_forget_events(p_days int) returns int
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  n int;
begin
  delete from payment_event where (provider, event_id) in (
    select provider, event_id from payment_event where at < now() - make_interval(days => greatest(p_days, 7)) limit 10000);
  get diagnostics n = row_count;
  return n;
end $$;

-- For the alarms: orders that something contradicted, and paid orders whose sum the ledger must show.
create function operations_payment_summary() returns table (flagged bigint, pending bigint, paid_minor numeric)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select count(*) filter (where flag <> ''), count(*) filter (where state = 'pending'),
    coalesce(sum(amount_minor) filter (where state in ('paid', 'refunded')), 0)
  from payment_order
$$;
grant execute on function operations_payment_summary() to operations;

grant execute on function
  payments_open_order(uuid, uuid, text, bigint, text, text, boolean, text, text, int),
  payments_bind_order(uuid, text), payments_find_order(uuid, uuid), payments_list_orders(uuid, int),
  payments_claim_orders(int), payments_claim_order(uuid, uuid),
  payments_open_refund(uuid, uuid, uuid, bigint, text), payments_bind_refund(uuid, text),
  payments_list_refunds(uuid, uuid), payments_claim_refunds(int),
  payments_list_receipts(uuid, int), payments_find_receipt(uuid, text),
  payments_list_methods(uuid), payments_remove_method(uuid, text),
  payments_find_profile(uuid), payments_set_customer(uuid, text), payments_set_tax_id(uuid, text),
  payments_set_automatic(uuid, bigint, bigint, text), payments_open_automatic(text, text, text, int),
  payments_forget_events(int), payments_key(text), payments_role(uuid)
to payments;
