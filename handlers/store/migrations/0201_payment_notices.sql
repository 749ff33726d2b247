-- A company told us something: compare it with the order that it names, and let it act at most once.
--
-- payments_apply answers with one word:
--   credited, refunded, refund_returned, charged_back, dispute_won, closed, failed   something changed
--   already                                                          it had changed before, by another way
--   replay                                                           this very event acted before
--   pending, ignored                                                 nothing to do
--   unknown_order                                                    it names no order of ours with this company
--   premature                                                        its order is not paid yet, as far as we know: ask, then try again
--   mismatch                                                         it contradicts the order: flagged, nothing credited

create function payment_nano(p_minor bigint) returns bigint
language sql immutable strict parallel safe set search_path = therouter, pg_temp as $$ select p_minor * 10000000 $$;

-- The first thing that a notice contradicts, or ''.
create function payment_contradiction(
  o payment_order, p_tenant uuid, p_amount bigint, p_currency text, p_mode text, p_company_order text, p_company_payment text
) returns text language sql immutable set search_path = therouter, pg_temp as $$
  select case
    when o.mode <> p_mode then 'mode'
    when p_tenant is not null and p_tenant <> o.tenant_id then 'tenant'
    when o.currency <> p_currency then 'currency'
    when p_amount <> o.amount_minor then 'amount'
    when o.company_order <> '' and p_company_order <> '' and o.company_order <> p_company_order then 'company_order'
    when o.company_payment <> '' and p_company_payment <> '' and o.company_payment <> p_company_payment then 'second_payment'
    else ''
  end
$$;

create function payment_flag(p_order uuid, p_flag text) returns text
language plpgsql set search_path = therouter, pg_temp as $$
begin
  update payment_order set flag = p_flag where order_id = p_order and flag = '';
  return 'mismatch';
end $$;

create function payment_paid(
  o payment_order, p_company_order text, p_company_payment text, p_receipt text, p_method text
) returns text language plpgsql set search_path = therouter, pg_temp as $$
begin
  if p_receipt <> '' then
    insert into payment_receipt (provider, receipt_id, order_id) values (o.provider, p_receipt, o.order_id) on conflict do nothing;
  end if;
  if p_method <> '' and o.keep_method then
    insert into payment_method (provider, method_id, tenant_id) values (o.provider, p_method, o.tenant_id) on conflict do nothing;
  end if;
  update payment_order set
    company_order = case when company_order = '' then p_company_order else company_order end,
    company_payment = case when company_payment = '' then p_company_payment else company_payment end
    where order_id = o.order_id;
  if o.state in ('paid', 'refunded') then
    return 'already';
  end if;
  update payment_order set state = 'paid', paid_at = now() where order_id = o.order_id;
  if o.kind = 'automatic' then
    update payment_profile set automatic_failures = 0 where tenant_id = o.tenant_id;
  end if;
  perform credit_topup(o.provider || ':' || o.order_id, o.tenant_id, payment_nano(o.amount_minor));
  return 'credited';
end $$;

-- The order will not be paid any more. A decline ends automatic top-ups only: on a checkout page one may try another card.
create function payment_ended(o payment_order, p_kind text) returns text
language plpgsql set search_path = therouter, pg_temp as $$
begin
  if p_kind = 'declined' and o.kind <> 'automatic' then
    return 'ignored';
  elsif o.state <> 'pending' then
    return 'already';
  end if;
  update payment_order set state = case p_kind when 'declined' then 'failed' else 'closed' end where order_id = o.order_id;
  if o.kind = 'automatic' then
    update payment_profile set automatic_failures = automatic_failures + 1 where tenant_id = o.tenant_id;
  end if;
  return case p_kind when 'declined' then 'failed' else 'closed' end;
end $$;

create function payment_set_refunded(p_order uuid, p_change bigint) returns void
language sql set search_path = therouter, pg_temp as $$
  update payment_order set
    refunded_minor = refunded_minor + p_change,
    state = case when refunded_minor + p_change = amount_minor then 'refunded' else 'paid' end
    where order_id = p_order
$$;

-- The money of a refund that we asked for left the balance when we asked; one made in the company's console leaves it now,
-- whatever the balance: the money is gone.
create function payment_refunded(o payment_order, p_refund uuid, p_reference text, p_amount bigint) returns text
language plpgsql set search_path = therouter, pg_temp as $$
declare
  r payment_refund;
begin
  select * into r from payment_refund
    where order_id = o.order_id and (refund_id = p_refund or (p_reference <> '' and company_refund = p_reference)) for update;
  if found then
    if r.amount_minor <> p_amount or r.state = 'failed' then
      return payment_flag(o.order_id, 'refund');
    elsif r.state = 'succeeded' then
      return 'already';
    end if;
    update payment_refund set state = 'succeeded', company_refund = p_reference where refund_id = r.refund_id;
    return 'refunded';
  end if;
  if p_reference = '' or p_amount <= 0 or p_amount > o.amount_minor - o.refunded_minor then
    return payment_flag(o.order_id, 'refund');
  end if;
  insert into payment_refund (refund_id, order_id, amount_minor, state, company_refund)
    values (gen_random_uuid(), o.order_id, p_amount, 'succeeded', p_reference);
  perform payment_set_refunded(o.order_id, p_amount);
  perform credit_refund(o.provider || ':' || p_reference, o.tenant_id, payment_nano(p_amount));
  return 'refunded';
end $$;

create function payment_refund_failed(o payment_order, p_refund uuid, p_reference text) returns text
language plpgsql set search_path = therouter, pg_temp as $$
declare
  r payment_refund;
begin
  select * into r from payment_refund
    where order_id = o.order_id and (refund_id = p_refund or (p_reference <> '' and company_refund = p_reference)) for update;
  if not found then
    return 'ignored';
  elsif r.state = 'failed' then
    return 'already';
  end if;
  update payment_refund set state = 'failed' where refund_id = r.refund_id;
  perform payment_set_refunded(o.order_id, -r.amount_minor);
  perform credit_topup(o.provider || ':returned:' || r.refund_id, o.tenant_id, payment_nano(r.amount_minor));
  return 'refund_returned';
end $$;

-- The bank took the money back: the balance may go below zero, and the account is frozen until a person looks at it.
create function payment_disputed(o payment_order, p_reference text, p_amount bigint, p_currency text) returns text
language plpgsql set search_path = therouter, pg_temp as $$
begin
  if p_reference = '' or p_amount <= 0 or p_amount > o.amount_minor or p_currency <> o.currency then
    return payment_flag(o.order_id, 'dispute');
  end if;
  insert into payment_dispute (provider, dispute_id, order_id, amount_minor)
    values (o.provider, p_reference, o.order_id, p_amount) on conflict do nothing;
  if not found then
    return 'already';
  end if;
  update payment_order set disputed = true where order_id = o.order_id;
  perform credit_chargeback(o.provider || ':' || p_reference, o.tenant_id, payment_nano(p_amount));
  return 'charged_back';
end $$;

-- The money is back. The account stays frozen: thawing is an administrator's decision.
create function payment_dispute_won(o payment_order, p_reference text) returns text
language plpgsql set search_path = therouter, pg_temp as $$
declare
  d payment_dispute;
begin
  select * into d from payment_dispute where provider = o.provider and dispute_id = p_reference for update;
  if d.state = 'won' then
    return 'already';
  end if;
  update payment_dispute set state = 'won' where provider = o.provider and dispute_id = p_reference;
  update payment_order set disputed = exists (
    select from payment_dispute where payment_dispute.order_id = o.order_id and state = 'open') where order_id = o.order_id;
  perform credit_topup(o.provider || ':won:' || p_reference, o.tenant_id, payment_nano(d.amount_minor));
  return 'dispute_won';
end $$;

create function payments_apply(
  p_provider text, p_event text, p_kind text, p_order uuid, p_tenant uuid, p_amount bigint, p_currency text, p_mode text,
  p_company_order text, p_company_payment text, p_refund uuid, p_reference text, p_receipt text, p_method text
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  o payment_order;
  contradiction text;
  result text;
begin
  if p_kind in ('pending', 'ignored') then
    return p_kind;
  end if;
  select * into o from payment_order where provider = p_provider
    and (order_id = p_order or (p_order is null and p_company_payment <> '' and company_payment = p_company_payment));
  if not found then
    return 'unknown_order';
  end if;
  perform from account where tenant_id = o.tenant_id for update;
  select * into o from payment_order where order_id = o.order_id for update;

  if p_kind in ('refunded', 'refund_failed', 'disputed', 'dispute_won') and o.state not in ('paid', 'refunded') then
    return 'premature';
  elsif p_kind = 'dispute_won'
    and not exists (select from payment_dispute where provider = p_provider and dispute_id = p_reference) then
    return 'premature';
  end if;
  if p_event <> '' then
    insert into payment_event (provider, event_id, kind, outcome, order_id)
      values (p_provider, p_event, p_kind, 'begun', o.order_id) on conflict do nothing;
    if not found then
      return 'replay';
    end if;
  end if;

  if p_kind = 'paid' then
    contradiction := payment_contradiction(
      o, p_tenant, p_amount, p_currency, p_mode, p_company_order, p_company_payment);
    if contradiction = '' and p_company_payment <> '' and exists (
      select from payment_order other where other.provider = p_provider
        and other.company_payment = p_company_payment and other.order_id <> o.order_id) then
      contradiction := 'payment_reused';
    end if;
  elsif o.mode <> p_mode then
    contradiction := 'mode';
  elsif p_company_payment <> '' and o.company_payment <> '' and o.company_payment <> p_company_payment then
    contradiction := 'second_payment';
  else
    contradiction := '';
  end if;

  result := case
    when contradiction <> '' then payment_flag(o.order_id, contradiction)
    when p_kind = 'paid' then payment_paid(o, p_company_order, p_company_payment, p_receipt, p_method)
    when p_kind in ('declined', 'expired') then payment_ended(o, p_kind)
    when p_kind = 'refunded' then payment_refunded(o, p_refund, p_reference, p_amount)
    when p_kind = 'refund_failed' then payment_refund_failed(o, p_refund, p_reference)
    when p_kind = 'disputed' then payment_disputed(o, p_reference, p_amount, p_currency)
    when p_kind = 'dispute_won' then payment_dispute_won(o, p_reference)
  end;
  if result is null then
    raise exception using errcode = 'TR400', constraint = 'notice_kind', message = 'kind';
  end if;
  update payment_event set outcome = result where provider = p_provider and event_id = p_event;
  return result;
end $$;
grant execute on function payments_apply(
  text, text, text, uuid, uuid, bigint, text, text, text, text, uuid, text, text, text) to payments;
