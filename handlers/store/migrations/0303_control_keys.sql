-- Keys, bring-your-own keys and budgets; see 0302_control_people.sql for who may.

create function key_json(k api_key) returns jsonb
language sql stable set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'key_id', k.key_id, 'user_id', k.user_id, 'name', k.name, 'state', k.state, 'management', k.management, 'role', k.role,
    'replaces', k.replaces, 'limits', k.limits, 'created_at', unix_s(k.created_at), 'expires_at', unix_s(k.expires_at),
    'last_used_day', k.last_used_day, 'usage_nano', s.everything, 'usage_daily_nano', s.today, 'usage_weekly_nano', s.week,
    'usage_monthly_nano', s.month)
  from (select (now() at time zone 'utc')::date as today) d
  cross join lateral (
    select coalesce(sum(r.cost_nano), 0)::bigint as everything,
      coalesce(sum(r.cost_nano) filter (where r.day = d.today), 0)::bigint as today,
      coalesce(sum(r.cost_nano) filter (where r.day >= date_trunc('week', d.today)), 0)::bigint as week,
      coalesce(sum(r.cost_nano) filter (where r.day >= date_trunc('month', d.today)), 0)::bigint as month
    from usage_rollup r where r.tenant_id = k.tenant_id and r.key_id = k.key_id
  ) s
$$;

create function control_keys(p_caller jsonb, p_offset int, p_limit int) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'keys:read');
  self uuid := own_user();
begin
  return (
    select coalesce(jsonb_agg(key_json(k) order by k.created_at, k.key_id), '[]')::text
    from api_key k where k.key_id in (
      select p.key_id from api_key p where p.tenant_id = mine and (self is null or p.user_id = self)
      order by p.created_at, p.key_id offset p_offset limit p_limit));
end $$;

-- A key of the caller's tenant that the caller may see, or TR404.
create function find_own_key(p_tenant uuid, p_key_id text) returns api_key
language plpgsql stable set search_path = therouter, pg_temp as $$
declare
  found_key api_key;
begin
  select * into found_key from api_key k
    where k.tenant_id = p_tenant and k.key_id = p_key_id and (own_user() is null or k.user_id = own_user());
  if not found then
    raise exception using errcode = 'TR404', constraint = 'key_unknown', message = 'key';
  end if;
  return found_key;
end $$;

create function control_key(p_caller jsonb, p_key_id text) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  return key_json(find_own_key(enter(p_caller, 'keys:read'), p_key_id))::text;
end $$;

-- For whoever changes a key: a management key is another's only to those who may make one, and never mightier than they.
create function guard_key(p_key api_key) returns void
language plpgsql stable set search_path = therouter, pg_temp as $$
begin
  if p_key.management then
    perform refuse_promotion(p_key.role);
  end if;
end $$;

-- p_role: of a management key; null for a key that infers. p_user null: the caller's own.
create function control_create_key(
  p_caller jsonb, p_key_id text, p_hash text, p_name text, p_user uuid, p_limits jsonb, p_expires_at bigint, p_role text
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, case when p_role is null then 'keys:write' else 'management:write' end,
    case when p_role is not null then 900 end);
  holder uuid := coalesce(p_user, current_setting('therouter.user_id')::uuid);
begin
  if p_role is not null then
    perform refuse_promotion(p_role);
  end if;
  perform from app_user u where u.tenant_id = mine and u.user_id = holder and u.state = 'active'
    and (own_user() is null or u.user_id = own_user());
  if not found then
    raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
  end if;
  insert into api_key (key_id, tenant_id, user_id, name, hash, limits, expires_at, management, role)
    values (p_key_id, mine, holder, p_name, p_hash, coalesce(p_limits, '{}'), to_timestamp(p_expires_at),
      p_role is not null, p_role);
  return control_key(p_caller, p_key_id);
end $$;

-- p_change: which of name, limits, expires_at change; limits are merged field by field, and a null removes one.
create function control_change_key(p_caller jsonb, p_key_id text, p_change jsonb) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'keys:write');
  target api_key := find_own_key(mine, p_key_id);
begin
  perform guard_key(target);
  if target.state <> 'active' then
    raise exception using errcode = 'TR409', constraint = 'key_revoked', message = 'key';
  end if;
  update api_key k set
    name = case when p_change ? 'name' then p_change ->> 'name' else k.name end,
    limits = jsonb_strip_nulls(k.limits || coalesce(p_change -> 'limits', '{}')),
    expires_at = case when p_change ? 'expires_at' then to_timestamp((p_change ->> 'expires_at')::bigint) else k.expires_at end
  where k.tenant_id = mine and k.key_id = p_key_id;
  return control_key(p_caller, p_key_id);
end $$;

create function control_revoke_key(p_caller jsonb, p_key_id text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'keys:write');
begin
  perform guard_key(find_own_key(mine, p_key_id));
  update api_key set state = 'revoked', revoked_at = now() where tenant_id = mine and key_id = p_key_id and state = 'active';
  return control_key(p_caller, p_key_id);
end $$;

-- A successor with the same name and limits; the old key works on for p_overlap_s, so that nobody is locked out meanwhile.
create function control_rotate_key(p_caller jsonb, p_key_id text, p_new_id text, p_hash text, p_overlap_s int) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'keys:write');
  target api_key := find_own_key(mine, p_key_id);
begin
  perform guard_key(target);
  if target.state <> 'active' or target.expires_at < now() then
    raise exception using errcode = 'TR409', constraint = 'key_revoked', message = 'key';
  end if;
  insert into api_key (key_id, tenant_id, user_id, name, hash, limits, expires_at, management, role, replaces)
    values (p_new_id, mine, target.user_id, target.name, p_hash, target.limits, target.expires_at, target.management,
      target.role, p_key_id);
  if p_overlap_s = 0 then
    update api_key set state = 'revoked', revoked_at = now() where tenant_id = mine and key_id = p_key_id;
  else
    update api_key set expires_at = least(expires_at, now() + make_interval(secs => p_overlap_s))
      where tenant_id = mine and key_id = p_key_id;
  end if;
  return control_key(p_caller, p_new_id);
end $$;

-- Bring your own key. The sealed text goes in and goes to the gateways; it never comes back out here.

create function byok_json(b byok_key) returns jsonb
language sql stable set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'record_id', b.record_id, 'provider', b.provider, 'label', b.label, 'scope', b.scope, 'state', b.state, 'digest', b.digest,
    'key_version', b.key_version, 'created_at', unix_s(b.created_at))
$$;

create function control_byok_records(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'byok:read');
begin
  return (select coalesce(jsonb_agg(byok_json(b) order by b.created_at, b.record_id), '[]')::text
    from byok_key b where b.tenant_id = mine);
end $$;

create function find_own_byok(p_tenant uuid, p_record uuid) returns byok_key
language plpgsql stable set search_path = therouter, pg_temp as $$
declare
  found_record byok_key;
begin
  select * into found_record from byok_key b where b.tenant_id = p_tenant and b.record_id = p_record;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'byok_unknown', message = 'record';
  end if;
  return found_record;
end $$;

create function control_byok_record(p_caller jsonb, p_record uuid) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  return byok_json(find_own_byok(enter(p_caller, 'byok:read'), p_record))::text;
end $$;

create function control_create_byok(
  p_caller jsonb, p_record uuid, p_provider text, p_sealed text, p_key_version int, p_digest text, p_label text, p_scope jsonb
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'byok:write', 900);
begin
  insert into byok_key (record_id, tenant_id, provider, sealed, key_version, digest, label, scope)
    values (p_record, mine, p_provider, p_sealed, p_key_version, p_digest, p_label, p_scope);
  return control_byok_record(p_caller, p_record);
end $$;

-- p_change: which of label, scope, state, and (together) sealed, key_version, digest change.
create function control_change_byok(p_caller jsonb, p_record uuid, p_change jsonb) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'byok:write', 900);
  target byok_key := find_own_byok(mine, p_record);
begin
  update byok_key set
    label = coalesce(p_change ->> 'label', target.label),
    scope = coalesce(p_change -> 'scope', target.scope),
    state = coalesce(p_change ->> 'state', target.state),
    sealed = coalesce(p_change ->> 'sealed', target.sealed),
    key_version = coalesce((p_change ->> 'key_version')::int, target.key_version),
    digest = coalesce(p_change ->> 'digest', target.digest)
  where tenant_id = mine and record_id = p_record;
  return control_byok_record(p_caller, p_record);
end $$;

create function control_delete_byok(p_caller jsonb, p_record uuid) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'byok:write', 900);
  target byok_key := find_own_byok(mine, p_record);
begin
  delete from byok_key where tenant_id = mine and record_id = p_record;
  return byok_json(target)::text;
end $$;

-- Budgets

create function control_budgets(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:read');
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', case when b.scope = 'user' then b.subject end, 'limit_nano', b.limit_nano, 'period', b.period,
        'spent_nano', (
          select coalesce(sum(r.cost_nano), 0)::bigint from usage_rollup r
          where r.tenant_id = mine and r.day >= period_start(b.period) and (b.scope = 'tenant' or r.user_id = b.subject))
      ) order by b.scope, b.subject, b.period), '[]')::text
    from budget b where b.tenant_id = mine);
end $$;

-- p_user null: the tenant's own budget. p_limit_nano null: remove it.
create function control_set_budget(p_caller jsonb, p_user uuid, p_limit_nano bigint, p_period text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:write');
  kind text := case when p_user is null then 'tenant' else 'user' end;
begin
  if p_user is not null then
    perform from app_user u where u.tenant_id = mine and u.user_id = p_user and u.state = 'active';
    if not found then
      raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
    end if;
  end if;
  if p_limit_nano is null then
    delete from budget where tenant_id = mine and scope = kind and subject = coalesce(p_user, mine) and period = p_period;
  else
    insert into budget as b (tenant_id, scope, subject, period, limit_nano)
      values (mine, kind, coalesce(p_user, mine), p_period, p_limit_nano)
      on conflict (tenant_id, scope, subject, period) do update set limit_nano = excluded.limit_nano;
  end if;
  return control_budgets(p_caller);
end $$;
