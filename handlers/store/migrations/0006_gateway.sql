-- What the gateway reads.

create function gateway_key(p_key_id text) returns table (
  key_id text, hash text, state text, expires_at bigint, tenant_id uuid, user_id uuid, limits text, account_state text,
  retention_days int, byok_mode text, data_policy text, markup_ppm int
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select k.key_id, k.hash, k.state, extract(epoch from k.expires_at)::bigint, k.tenant_id, k.user_id, k.limits::text,
    case when 'closed' in (t.state, a.state) then 'closed' when 'frozen' in (t.state, a.state) then 'frozen' else 'active' end,
    t.retention_days, t.byok_mode, t.data_policy, t.markup_ppm
  from api_key k join tenant t using (tenant_id) join account a using (tenant_id)
  where k.key_id = p_key_id
$$;
grant execute on function gateway_key(text) to gateway;

-- Changes after a number, oldest first. A row without a key id concerns all keys of its tenant.
create function gateway_changes(p_since bigint) returns table (seq bigint, key_id text, tenant_id uuid)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select c.seq, c.key_id, c.tenant_id from key_change c where c.seq > p_since order by c.seq limit 10000
$$;
grant execute on function gateway_changes(bigint) to gateway;

-- The number of the latest change: where a cache that is still empty starts to watch.
create function gateway_change_latest() returns bigint
language sql stable security definer set search_path = therouter, pg_temp as $$
  select coalesce(max(seq), 0) from key_change
$$;
grant execute on function gateway_change_latest() to gateway;

create function gateway_byok(p_tenant uuid, p_provider text) returns table (
  record_id uuid, provider text, sealed text, key_version int, scope text
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select b.record_id, b.provider, b.sealed, b.key_version, b.scope::text from byok_key b
  where b.tenant_id = p_tenant and b.state = 'active' and (p_provider = '' or b.provider = p_provider)
  order by b.created_at, b.record_id
$$;
grant execute on function gateway_byok(uuid, text) to gateway;

create function usage_find(p_tenant uuid, p_request uuid) returns setof usage_event
language sql stable security definer set search_path = therouter, pg_temp as $$
  select * from usage_event where ts = uuid7_at(p_request) and request_id = p_request and tenant_id = p_tenant
$$;
grant execute on function usage_find(uuid, uuid) to gateway, site, admin;

create function usage_recent(p_tenant uuid, p_limit int, p_since timestamptz) returns setof usage_event
language sql stable security definer set search_path = therouter, pg_temp as $$
  select * from usage_event where tenant_id = p_tenant and ts >= p_since
  order by ts desc, request_id desc limit least(greatest(p_limit, 1), 10000)
$$;
grant execute on function usage_recent(uuid, int, timestamptz) to site, admin;

-- What a tenant, or one user or key of it, has spent since a day (UTC); null user or key: all of them.
create function spend_since(p_tenant uuid, p_user uuid, p_key_id text, p_since date) returns bigint
language sql stable security definer set search_path = therouter, pg_temp as $$
  select coalesce(sum(cost_nano), 0)::bigint from usage_rollup
  where tenant_id = p_tenant and day >= p_since
    and (p_user is null or user_id = p_user) and (p_key_id is null or key_id = p_key_id)
$$;
grant execute on function spend_since(uuid, uuid, text, date) to gateway, admin, site;

-- For GET /v1/key: what a key may and what it has spent; days and weeks (from Monday) in UTC.
create function key_summary(p_key_id text) returns table (
  name text, limits text, expires_at bigint, created_at bigint, spend_today_nano bigint, spend_week_nano bigint,
  spend_month_nano bigint, spend_all_nano bigint, balance_nano bigint, held_nano bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select k.name, k.limits::text, extract(epoch from k.expires_at)::bigint, extract(epoch from k.created_at)::bigint,
    s.today::bigint, s.week::bigint, s.month::bigint, s.everything::bigint, a.balance_nano, a.held_nano
  from api_key k join account a using (tenant_id)
  cross join (select (now() at time zone 'utc')::date as today) d
  cross join lateral (
    select coalesce(sum(cost_nano) filter (where day = d.today), 0) as today,
      coalesce(sum(cost_nano) filter (where day >= date_trunc('week', d.today)), 0) as week,
      coalesce(sum(cost_nano) filter (where day >= date_trunc('month', d.today)), 0) as month,
      coalesce(sum(cost_nano), 0) as everything
    from usage_rollup r where r.tenant_id = k.tenant_id and r.key_id = k.key_id
  ) s
  where k.key_id = p_key_id
$$;
grant execute on function key_summary(text) to gateway, site, admin;
