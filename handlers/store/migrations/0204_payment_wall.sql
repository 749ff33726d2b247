-- The payments room cannot book money by itself. What books a payment, a refund or a dispute is `payments_apply` and
-- `payments_open_refund`: bound to an order that was opened before, within its amount, and once for each payment of the company.
revoke execute on function credit_topup(text, uuid, bigint), credit_refund(text, uuid, bigint),
  credit_chargeback(text, uuid, bigint) from payments;

-- As in 0201; a payment without the company's id of it is none: the nightly comparison could not look for it at the company.
create or replace function payment_contradiction(
  o payment_order, p_tenant uuid, p_amount bigint, p_currency text, p_mode text, p_company_order text, p_company_payment text
) returns text language sql immutable set search_path = therouter, pg_temp as $$
  select case
    when o.mode <> p_mode then 'mode'
    when p_tenant is not null and p_tenant <> o.tenant_id then 'tenant'
    when o.currency <> p_currency then 'currency'
    when p_amount <> o.amount_minor then 'amount'
    when o.company_order <> '' and p_company_order <> '' and o.company_order <> p_company_order then 'company_order'
    when p_company_payment = '' then 'no_payment'
    when o.company_payment <> '' and o.company_payment <> p_company_payment then 'second_payment'
    else ''
  end
$$;

-- The company does not list a payment that we call paid: credit without money. The order is flagged, which pages (0602).
create function payments_flag_missing(p_order uuid) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  update payment_order set flag = 'missing' where order_id = p_order and flag = '' and state in ('paid', 'refunded')
$$;
grant execute on function payments_flag_missing(uuid) to payments;
