-- The control plane's first words: tenants, users and keys. Each is once-only by its id.

create function admin_create_tenant(p_tenant uuid, p_name text) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  insert into tenant (tenant_id, name) values (p_tenant, p_name);
  insert into account (tenant_id) values (p_tenant);
end $$;
grant execute on function admin_create_tenant(uuid, text) to admin;

create function admin_create_user(p_user uuid, p_tenant uuid, p_email text, p_role text) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  insert into app_user (user_id, tenant_id, email, role) values (p_user, p_tenant, p_email, p_role)
$$;
grant execute on function admin_create_user(uuid, uuid, text, text) to admin;

-- p_expires_at: Unix seconds, null for never.
create function admin_create_key(
  p_key_id text, p_tenant uuid, p_user uuid, p_name text, p_hash text, p_limits jsonb, p_expires_at bigint
) returns void language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from app_user where user_id = p_user and tenant_id = p_tenant;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
  end if;
  insert into api_key (key_id, tenant_id, user_id, name, hash, limits, expires_at)
    values (p_key_id, p_tenant, p_user, p_name, p_hash, coalesce(p_limits, '{}'), to_timestamp(p_expires_at));
end $$;
grant execute on function admin_create_key(text, uuid, uuid, text, text, jsonb, bigint) to admin;

-- True when the key was active until now.
create function admin_revoke_key(p_tenant uuid, p_key_id text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from api_key where key_id = p_key_id and tenant_id = p_tenant;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'key_unknown', message = 'key';
  end if;
  update api_key set state = 'revoked', revoked_at = now() where key_id = p_key_id and state = 'active';
  return found;
end $$;
grant execute on function admin_revoke_key(uuid, text) to admin;

-- p_tenant null: of all tenants. Never the hash.
create function admin_list_keys(p_tenant uuid) returns table (
  key_id text, tenant_id uuid, user_id uuid, name text, state text, limits text, created_at bigint, expires_at bigint,
  last_used_day date
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select k.key_id, k.tenant_id, k.user_id, k.name, k.state, k.limits::text, extract(epoch from k.created_at)::bigint,
    extract(epoch from k.expires_at)::bigint, k.last_used_day
  from api_key k where p_tenant is null or k.tenant_id = p_tenant order by k.created_at, k.key_id
$$;
grant execute on function admin_list_keys(uuid) to admin;

create function admin_list_tenants() returns table (
  tenant_id uuid, name text, state text, retention_days int, byok_mode text, data_policy text, markup_ppm int,
  balance_nano bigint, held_nano bigint, account_state text
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select t.tenant_id, t.name, t.state, t.retention_days, t.byok_mode, t.data_policy, t.markup_ppm, a.balance_nano, a.held_nano,
    a.state
  from tenant t join account a using (tenant_id) order by t.created_at, t.tenant_id
$$;
grant execute on function admin_list_tenants() to admin;
