-- Who asks, and what about tenants and people they may do.
--
-- Every function of the control plane begins with `enter`: it finds the tenant of the principal that the admin room has
-- authenticated, checks the scope, and names both to the rest of the transaction. No function takes a tenant from its
-- caller. The functions belong to therouter_control, for which row-level security shows that tenant's rows and no others: a
-- forgotten condition finds nothing of anybody else's.
--
-- p_caller  {"principal": "key:<key id>" | "session:<sha256>", "request": "<request id>", "reason": "<why>"}
-- Answers are JSON as text; times are Unix seconds, money is nano-units.

-- The principal as it stands now: one row, or none when it may not be here at all.
create function principal_of(p_caller jsonb) returns table (
  name text, tenant_id uuid, user_id uuid, role text, key_role text, proved_at timestamptz, operator boolean
) language sql stable security definer set search_path = therouter, pg_temp as $$
  select 'key:' || k.key_id, k.tenant_id, k.user_id, u.role, k.role, null::timestamptz, t.operator
  from api_key k join app_user u using (tenant_id, user_id) join tenant t using (tenant_id)
  where p_caller ->> 'principal' = 'key:' || k.key_id and k.key_id = split_part(p_caller ->> 'principal', ':', 2)
    and k.management and k.state = 'active' and (k.expires_at is null or k.expires_at > now())
    and u.state = 'active' and t.state <> 'closed'
  union all
  select 'user:' || s.user_id, s.tenant_id, s.user_id, u.role, null, s.proved_at, t.operator
  from person_session s join app_user u using (tenant_id, user_id) join tenant t using (tenant_id)
  where p_caller ->> 'principal' = 'session:' || s.session_id and s.session_id = split_part(p_caller ->> 'principal', ':', 2)
    and s.expires_at > now() and u.state = 'active' and t.state <> 'closed'
$$;

-- What a role may do; of a key, what both its own role and its user's may.
create function scopes_of(p_role text, p_key_role text, p_operator boolean) returns setof text
language sql stable security definer set search_path = therouter, pg_temp as $$
  select a.scope from role_scope a
  where a.role = p_role and (p_operator or a.scope not like 'tenants:%')
    and (p_key_role is null or exists (select from role_scope b where b.role = p_key_role and b.scope = a.scope))
$$;
grant execute on function scopes_of(text, text, boolean) to therouter_control;

-- Let the principal in, or refuse it; returns its tenant. p_within_s: how recently a person must have proved who they are.
create function enter(p_caller jsonb, p_scope text, p_within_s int default null) returns uuid
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  who record;
begin
  select * into who from principal_of(p_caller);
  if not found then
    raise exception using errcode = 'TR401', constraint = 'principal_unknown', message = 'principal';
  end if;
  if p_scope not in (select scopes_of(who.role, who.key_role, who.operator)) then
    raise exception using errcode = 'TR403', constraint = 'scope_missing', message = 'scope';
  end if;
  if p_within_s is not null and who.proved_at < now() - make_interval(secs => p_within_s) then
    raise exception using errcode = 'TR403', constraint = 'step_up_required', message = 'step up';
  end if;
  perform set_config('therouter.tenant_id', who.tenant_id::text, true);
  perform set_config('therouter.user_id', who.user_id::text, true);
  perform set_config('therouter.own_only', ('member' in (who.role, coalesce(who.key_role, '')))::text, true);
  perform set_config(
    'therouter.scopes', array(select scopes_of(who.role, who.key_role, who.operator))::text, true);
  perform set_config('therouter.actor', who.name, true);
  perform set_config('therouter.request', left(coalesce(p_caller ->> 'request', ''), 64), true);
  perform set_config('therouter.reason', left(coalesce(p_caller ->> 'reason', ''), 200), true);
  return who.tenant_id;
end $$;
grant execute on function enter(jsonb, text, int) to therouter_control;

create function unix_s(p_at timestamptz) returns bigint
language sql immutable set search_path = therouter, pg_temp as $$ select extract(epoch from p_at)::bigint $$;
grant execute on function unix_s(timestamptz) to therouter_control;

-- A member sees and changes what is its own; everybody else who may, what is the tenant's. Null: everything.
create function own_user() returns uuid language sql stable set search_path = therouter, pg_temp as $$
  select case when current_setting('therouter.own_only', true) is distinct from 'false'
    then current_setting('therouter.user_id', true)::uuid end
$$;
grant execute on function own_user() to therouter_control;

-- Nobody makes anybody mightier than themselves.
create function refuse_promotion(p_role text) returns void
language plpgsql stable set search_path = therouter, pg_temp as $$
begin
  if exists (select scopes_of(p_role, null, false)
             except select unnest(current_setting('therouter.scopes')::text[])) then
    raise exception using errcode = 'TR403', constraint = 'role_above_own', message = 'role';
  end if;
end $$;
grant execute on function refuse_promotion(text) to therouter_control;

create function control_principal(p_caller jsonb) returns text
language sql stable security definer set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'tenant_id', w.tenant_id, 'user_id', w.user_id, 'role', coalesce(w.key_role, w.role),
    'scopes', coalesce((select jsonb_agg(s order by s) from scopes_of(w.role, w.key_role, w.operator) s), '[]'))::text
  from principal_of(p_caller) w
$$;

-- The tenant

create function tenant_json(t tenant) returns jsonb
language sql stable set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'tenant_id', t.tenant_id, 'name', t.name, 'state', t.state, 'retention_days', t.retention_days, 'byok_mode', t.byok_mode,
    'data_policy', t.data_policy, 'created_at', unix_s(t.created_at))
$$;

create function control_tenant(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'tenant:read');
begin
  return (select tenant_json(t)::text from tenant t where t.tenant_id = mine);
end $$;

-- Null leaves a field as it is.
create function control_change_tenant(p_caller jsonb, p_name text, p_byok_mode text, p_data_policy text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'tenant:write');
begin
  update tenant set name = coalesce(p_name, name), byok_mode = coalesce(p_byok_mode, byok_mode),
    data_policy = coalesce(p_data_policy, data_policy) where tenant_id = mine;
  return (select tenant_json(t)::text from tenant t where t.tenant_id = mine);
end $$;

-- What a retention of so many days would remove at the next purge; null: the one that holds.
create function control_retention(p_caller jsonb, p_days int) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'tenant:read');
begin
  return (
    select jsonb_build_object(
      'retention_days', t.retention_days,
      'days', d.days,
      'rows', (select count(*) from usage_event e where e.tenant_id = mine),
      'rows_removed', (
        select count(*) from usage_event e where e.tenant_id = mine and e.ts < now() - make_interval(days => d.days)))::text
    from tenant t cross join lateral (select coalesce(p_days, t.retention_days) as days) d where t.tenant_id = mine);
end $$;

-- A shorter retention removes rows for good, so it takes effect only with the number of rows that its caller has seen.
create function control_set_retention(p_caller jsonb, p_days int, p_confirm_rows bigint) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'retention:write', 900);
  due bigint;
begin
  select count(*) into due from usage_event e where e.tenant_id = mine and e.ts < now() - make_interval(days => p_days);
  if due > coalesce(p_confirm_rows, 0) then
    raise exception using errcode = 'TR409', constraint = 'confirmation_required', message = 'confirm';
  end if;
  update tenant set retention_days = p_days where tenant_id = mine;
  return control_retention(p_caller, null);
end $$;

-- Users

create function user_json(u app_user) returns jsonb
language sql stable set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'user_id', u.user_id, 'email', u.email, 'role', u.role, 'state', u.state, 'created_at', unix_s(u.created_at))
$$;

create function control_users(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'users:read');
begin
  return (select coalesce(jsonb_agg(user_json(u) order by u.created_at, u.user_id), '[]')::text
    from app_user u where u.tenant_id = mine and u.state = 'active');
end $$;

create function control_user(p_caller jsonb, p_user uuid) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'users:read');
  found_user app_user;
begin
  select * into found_user from app_user u where u.tenant_id = mine and u.user_id = p_user and u.state = 'active';
  if not found then
    raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
  end if;
  return user_json(found_user)::text;
end $$;

create function control_create_user(p_caller jsonb, p_user uuid, p_email text, p_role text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'users:write');
begin
  perform refuse_promotion(p_role);
  insert into app_user (user_id, tenant_id, email, role) values (p_user, mine, p_email, p_role);
  return (select user_json(u)::text from app_user u where u.tenant_id = mine and u.user_id = p_user);
end $$;

-- The user, locked, if the caller may act upon somebody with its role; the last owner stays.
create function own_user_for_change(p_tenant uuid, p_user uuid, p_role text) returns void
language plpgsql set search_path = therouter, pg_temp as $$
declare
  target app_user;
begin
  perform from tenant where tenant_id = p_tenant for no key update;
  select * into target from app_user u where u.tenant_id = p_tenant and u.user_id = p_user and u.state = 'active' for update;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
  end if;
  perform refuse_promotion(target.role);
  if target.role = 'owner' and p_role is distinct from 'owner' and not exists (
    select from app_user u where u.tenant_id = p_tenant and u.role = 'owner' and u.state = 'active' and u.user_id <> p_user
  ) then
    raise exception using errcode = 'TR409', constraint = 'last_owner', message = 'owner';
  end if;
end $$;

create function control_change_user(p_caller jsonb, p_user uuid, p_role text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'users:write', 900);
begin
  perform own_user_for_change(mine, p_user, p_role);
  perform refuse_promotion(p_role);
  update app_user set role = p_role where tenant_id = mine and user_id = p_user;
  return (select user_json(u)::text from app_user u where u.tenant_id = mine and u.user_id = p_user);
end $$;

-- The user goes: sessions end, keys are revoked. With p_erase nothing that names the person stays: the address becomes a
-- tombstone, and their usage is booked under an id that nothing leads to.
create function control_remove_user(p_caller jsonb, p_user uuid, p_erase boolean) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'users:write', 900);
  nobody uuid := gen_random_uuid();
begin
  perform own_user_for_change(mine, p_user, null);
  update app_user set state = case when p_erase then 'erased' else 'removed' end,
    email = 'erased-' || nobody || '@invalid', subject = '' where tenant_id = mine and user_id = p_user;
  update api_key set state = 'revoked', revoked_at = now() where tenant_id = mine and user_id = p_user and state = 'active';
  delete from person_session where tenant_id = mine and user_id = p_user;
  delete from budget where tenant_id = mine and scope = 'user' and subject = p_user;
  if p_erase then
    update usage_event set user_id = nobody where tenant_id = mine and user_id = p_user;
    update usage_rollup set user_id = nobody where tenant_id = mine and user_id = p_user;
  end if;
  return jsonb_build_object('user_id', p_user, 'erased', p_erase)::text;
end $$;
