-- Money in and out. Each movement has a natural key and happens once: 'ok' the first time, 'exists' afterwards.

create function credit_topup(p_key text, p_tenant uuid, p_amount_nano bigint) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_amount_nano <= 0 then
    raise exception using errcode = 'TR400', constraint = 'amount_invalid', message = 'amount';
  end if;
  return case when book('top:' || p_key, p_tenant, 'external', p_amount_nano, 'topup') then 'ok' else 'exists' end;
end $$;
grant execute on function credit_topup(text, uuid, bigint) to payments;

-- Money that went back to the payer. The balance may become negative when it was spent meanwhile.
create function credit_refund(p_key text, p_tenant uuid, p_amount_nano bigint) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_amount_nano <= 0 then
    raise exception using errcode = 'TR400', constraint = 'amount_invalid', message = 'amount';
  end if;
  return case when book('ref:' || p_key, p_tenant, 'external', -p_amount_nano, 'refund') then 'ok' else 'exists' end;
end $$;
grant execute on function credit_refund(text, uuid, bigint) to payments;

-- Money that the payer's bank took back: as a refund, and the account is frozen until a person has looked at it.
create function credit_chargeback(p_key text, p_tenant uuid, p_amount_nano bigint) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_amount_nano <= 0 then
    raise exception using errcode = 'TR400', constraint = 'amount_invalid', message = 'amount';
  end if;
  if not book('cbk:' || p_key, p_tenant, 'external', -p_amount_nano, 'chargeback') then
    return 'exists';
  end if;
  update account set state = 'frozen' where tenant_id = p_tenant and state = 'active';
  return 'ok';
end $$;
grant execute on function credit_chargeback(text, uuid, bigint) to payments;

-- A correction by a person, either way, with its reason. A waiver is what we pay for ourselves.
create function credit_adjust(p_key text, p_tenant uuid, p_amount_nano bigint, p_reason text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_reason is null or p_reason not in ('goodwill', 'promotion', 'correction', 'expiry', 'local', 'waiver') then
    raise exception using errcode = 'TR400', constraint = 'reason_invalid', message = 'reason';
  end if;
  return case
    when p_reason = 'waiver' and book('adj:' || p_key, p_tenant, 'waived', p_amount_nano, 'waiver', p_reason) then 'ok'
    when p_reason <> 'waiver' and book('adj:' || p_key, p_tenant, 'adjustment', p_amount_nano, 'adjustment', p_reason) then 'ok'
    else 'exists'
  end;
end $$;
grant execute on function credit_adjust(text, uuid, bigint, text) to admin;

create function account_balance(p_tenant uuid) returns table (balance_nano bigint, held_nano bigint, state text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select balance_nano, held_nano, state from account where tenant_id = p_tenant
$$;
grant execute on function account_balance(uuid) to gateway, admin, payments, site;

-- The sums that must be equal, each as a row; a difference other than 0 is a fault that pages.
create function ledger_check() returns table (rule text, left_nano numeric, right_nano numeric, difference_nano numeric)
language sql stable security definer set search_path = therouter, pg_temp as $$
  with sums(rule, l, r) as (
    select 'entries_sum_to_zero', (select coalesce(sum(amount_nano), 0) from entry), 0
    union all
    -- Account by account: differences must not cancel out.
    select 'balances_are_their_entries', coalesce(sum(abs(a.balance_nano - coalesce(e.amount, 0))), 0), 0
    from account a full join (
      select tenant_id, sum(amount_nano) as amount from entry where tenant_id is not null group by tenant_id
    ) e using (tenant_id)
    union all
    select 'held_is_its_leases', coalesce(sum(abs(a.held_nano - coalesce(l.amount, 0))), 0), 0
    from account a left join (select tenant_id, sum(amount_nano) as amount from lease group by tenant_id) l using (tenant_id)
    union all
    select 'usage_is_revenue',
      (select coalesce(sum(cost_nano), 0) from usage_event) + (select coalesce(sum(cost_nano), 0) from usage_purged),
      (select coalesce(sum(amount_nano), 0) from entry where system_account = 'revenue')
    union all
    select 'usage_is_its_sums',
      (select coalesce(sum(cost_nano), 0) from usage_event) + (select coalesce(sum(cost_nano), 0) from usage_purged),
      (select coalesce(sum(cost_nano), 0) from usage_rollup)
    union all
    select 'requests_are_their_sums',
      (select count(*) from usage_event) + (select coalesce(sum(requests), 0) from usage_purged),
      (select coalesce(sum(requests), 0) from usage_rollup)
  )
  select rule, l, r, l - r from sums
$$;
grant execute on function ledger_check() to admin, operations;
