-- Credit that ends. What a tenant uses is taken from its grants first, from those that end first; what is left of a grant at its
-- end is booked out.
--
-- Which grant a use was taken from is decided late: by the sum of all use since the last time, before a grant is added and
-- before one ends. So settling, the busiest function of all, knows nothing of grants.

create table credit_grant (
  grant_key varchar(128) primary key, -- its entries are adj:<key> and, at its end, exp:<key>:<what was left>
  tenant_id uuid not null references account,
  amount_nano bigint not null check (amount_nano > 0),
  left_nano bigint not null check (left_nano between 0 and amount_nano),
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index credit_grant_open on credit_grant (expires_at) where ended_at is null;
create index credit_grant_tenant on credit_grant (tenant_id);
alter table credit_grant enable row level security;
create policy own_rows on credit_grant using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);

-- The use that has been taken from grants (or found none) so far.
alter table account add column taken_nano bigint not null default 0;

-- Take the use since the last time from the grants; the caller holds the account's lock.
create function take_from_grants(p_tenant uuid) returns void
language plpgsql set search_path = therouter, pg_temp as $$
declare
  everything bigint;
  used bigint;
  open record;
begin
  select coalesce(sum(r.cost_nano), 0) into everything from usage_rollup r where r.tenant_id = p_tenant;
  select everything - a.taken_nano into used from account a where a.tenant_id = p_tenant;
  if used <= 0 then -- a correction downwards waits for the use that follows it
    return;
  end if;
  for open in
    select g.grant_key, least(g.left_nano, used) as taken from credit_grant g
    where g.tenant_id = p_tenant and g.left_nano > 0 order by g.expires_at, g.grant_key
  loop
    update credit_grant set left_nano = left_nano - least(open.taken, used) where grant_key = open.grant_key;
    used := used - least(open.taken, used);
    exit when used = 0;
  end loop;
  update account set taken_nano = everything where tenant_id = p_tenant;
end $$;

-- Give credit that ends; once per key.
create function credit_grant_until(
  p_key text, p_tenant uuid, p_amount_nano bigint, p_reason text, p_expires_at timestamptz
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_amount_nano <= 0 then
    raise exception using errcode = 'TR400', constraint = 'amount_invalid', message = 'amount';
  end if;
  if p_reason is null or p_reason not in ('goodwill', 'promotion', 'local') then
    raise exception using errcode = 'TR400', constraint = 'grant_reason_invalid', message = 'reason';
  end if;
  perform from account where tenant_id = p_tenant for update;
  if not book('adj:' || p_key, p_tenant, 'adjustment', p_amount_nano, 'adjustment', p_reason) then
    return 'exists';
  end if;
  if p_expires_at is null or p_expires_at <= now() then
    raise exception using errcode = 'TR400', constraint = 'grant_end_invalid', message = 'expires_at';
  end if;
  perform take_from_grants(p_tenant);
  insert into credit_grant (grant_key, tenant_id, amount_nano, left_nano, expires_at)
    values (p_key, p_tenant, p_amount_nano, p_amount_nano, p_expires_at);
  return 'ok';
end $$;
grant execute on function credit_grant_until(text, uuid, bigint, text, timestamptz) to admin;

-- End grants whose time is over, at most `p_limit` of them. Credit that requests under way hold is left to them; what they do
-- not use goes the next time.
create function credit_expire(p_limit int, out ended bigint, out amount_nano bigint)
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  due record;
  rest bigint;
  gone bigint;
begin
  ended := 0;
  amount_nano := 0;
  for due in
    select g.grant_key, g.tenant_id from credit_grant g
    where g.ended_at is null and g.expires_at <= now() order by g.tenant_id, g.expires_at, g.grant_key limit p_limit
  loop
    perform from account a where a.tenant_id = due.tenant_id for update;
    perform take_from_grants(due.tenant_id);
    select g.left_nano into rest from credit_grant g where g.grant_key = due.grant_key and g.ended_at is null;
    continue when not found;
    select least(rest, greatest(a.balance_nano - a.held_nano, 0)) into gone from account a where a.tenant_id = due.tenant_id;
    if gone > 0 then
      perform book('exp:' || due.grant_key || ':' || rest, due.tenant_id, 'adjustment', -gone, 'adjustment', 'expiry');
      amount_nano := amount_nano + gone;
    end if;
    update credit_grant g set left_nano = rest - gone, ended_at = case when gone = rest then now() end
      where g.grant_key = due.grant_key;
    ended := ended + (gone = rest)::int;
  end loop;
end $$;
grant execute on function credit_expire(int) to operations;

-- Every movement of a tenant's credit but its use, newest first; for a grant also its end and what was left of it when that was
-- last looked at.
create function credit_list(p_tenant uuid, p_limit int) returns table (
  at timestamptz, kind text, reason text, amount_nano bigint, expires_at timestamptz, left_nano bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select e.at, e.kind, e.reason, e.amount_nano, g.expires_at, g.left_nano
  from entry e left join credit_grant g on e.txn_key = 'adj:' || g.grant_key
  where e.tenant_id = p_tenant and e.kind not in ('usage', 'correction', 'rollup')
  order by e.entry_id desc limit least(greatest(p_limit, 1), 10000)
$$;
grant execute on function credit_list(uuid, int) to admin;
