-- Leases: credit that one gateway process may spend without asking again.

-- Take credit for a process, or more of it for a lease that it already has. A rich account gives what is wanted, so that
-- the next requests need no round trip; a poor one gives exactly what is needed, so that small balances are exact across
-- processes. Granted 0 means: not enough (available_nano says how much there is), or the account is not active (state).
create function credit_lease(
  p_lease uuid, p_tenant uuid, p_pod text, p_need_nano bigint, p_want_nano bigint, p_ttl_s int,
  out granted_nano bigint, out available_nano bigint, out state text
) language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  granted_nano := 0;
  if p_need_nano < 0 or p_want_nano < 0 or p_ttl_s not between 1 and 86400 then
    raise exception using errcode = 'TR400', constraint = 'lease_invalid', message = 'lease';
  end if;
  select a.balance_nano - a.held_nano, a.state into available_nano, state
    from account a where a.tenant_id = p_tenant for no key update;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  if state <> 'active' or available_nano < p_need_nano then
    return;
  end if;
  granted_nano := p_need_nano;
  if p_want_nano > p_need_nano and available_nano / 64 >= p_want_nano then
    granted_nano := p_want_nano;
  end if;
  insert into lease as l (lease_id, tenant_id, pod, amount_nano, expires_at)
    values (p_lease, p_tenant, p_pod, granted_nano, now() + make_interval(secs => p_ttl_s))
    on conflict (lease_id) do update
      set amount_nano = l.amount_nano + excluded.amount_nano, expires_at = greatest(l.expires_at, excluded.expires_at)
      where l.tenant_id = excluded.tenant_id;
  if not found then
    raise exception using errcode = 'TR409', constraint = 'lease_of_another_tenant', message = 'lease';
  end if;
  update account a set held_nano = a.held_nano + granted_nano where a.tenant_id = p_tenant;
end $$;
grant execute on function credit_lease(uuid, uuid, text, bigint, bigint, int) to gateway;

-- Keep leases alive; returns those that still exist. A lease that is missing was reaped: take a new one.
create function credit_renew(p_leases uuid[], p_ttl_s int) returns setof uuid
language sql security definer set search_path = therouter, pg_temp as $$
  with mine as (select lease_id from lease where lease_id = any (p_leases) order by lease_id for no key update)
  update lease l set expires_at = greatest(l.expires_at, now() + make_interval(secs => least(greatest(p_ttl_s, 1), 86400)))
  from mine where l.lease_id = mine.lease_id
  returning l.lease_id
$$;
grant execute on function credit_renew(uuid[], int) to gateway;

-- Give back all of a lease but `p_keep_nano`; returns what was given back.
create function credit_release(p_lease uuid, p_keep_nano bigint) returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  owner uuid;
  given_back bigint;
begin
  select l.tenant_id into owner from lease l where l.lease_id = p_lease;
  perform from account where tenant_id = owner for no key update;
  select greatest(l.amount_nano - greatest(p_keep_nano, 0), 0) into given_back from lease l where l.lease_id = p_lease;
  if not found then
    return 0;
  end if;
  if p_keep_nano <= 0 then
    delete from lease where lease_id = p_lease;
  else
    update lease set amount_nano = amount_nano - given_back where lease_id = p_lease;
  end if;
  update account set held_nano = held_nano - given_back where tenant_id = owner;
  return given_back;
end $$;
grant execute on function credit_release(uuid, bigint) to gateway;

-- Void expired leases, at most `p_limit` of them; returns how many. What their process did spend is settled later from
-- its spool, and charged once, to the balance.
create function credit_reap(p_limit int) returns int
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  expired record;
  amount bigint;
  reaped int := 0;
begin
  for expired in
    select lease_id, tenant_id from lease where expires_at < now() order by tenant_id, lease_id limit p_limit
  loop
    perform from account where tenant_id = expired.tenant_id for no key update;
    delete from lease where lease_id = expired.lease_id and expires_at < now() returning amount_nano into amount;
    if found then
      update account set held_nano = held_nano - amount where tenant_id = expired.tenant_id;
      reaped := reaped + 1;
    end if;
  end loop;
  return reaped;
end $$;
grant execute on function credit_reap(int) to operations;
