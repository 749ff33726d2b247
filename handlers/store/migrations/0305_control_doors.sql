-- The doors of the control plane: how somebody becomes a principal, and what outsiders with proof may cause.

-- The first management key of a tenant, or another first one when none works any more; further ones come from the API. The
-- first tenant of all becomes the operator's.
create function admin_first_management_key(p_key_id text, p_tenant uuid, p_user uuid, p_name text, p_hash text) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from tenant where tenant_id = p_tenant for update;
  perform from api_key k where k.tenant_id = p_tenant and k.management and k.state = 'active'
    and (k.expires_at is null or k.expires_at > now());
  if found then
    raise exception using errcode = 'TR409', constraint = 'management_key_exists', message = 'key';
  end if;
  perform from app_user u where u.user_id = p_user and u.tenant_id = p_tenant and u.role = 'owner' and u.state = 'active';
  if not found then
    raise exception using errcode = 'TR404', constraint = 'user_unknown', message = 'user';
  end if;
  insert into api_key (key_id, tenant_id, user_id, name, hash, management, role)
    values (p_key_id, p_tenant, p_user, p_name, p_hash, true, 'owner');
  if not exists (select from tenant where operator) then
    update tenant set operator = true where tenant_id = p_tenant;
  end if;
end $$;

-- A person whom the identity provider has vouched for: by subject, or at the first time by a verified address. p_role: what the
-- person's groups say, null for nothing. Answers null when there is nobody, or several tenants and none was named.
create function admin_sign_in(
  p_session_id text, p_subject text, p_email text, p_tenant uuid, p_role text, p_life_s int
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  who app_user;
  candidates int;
begin
  select count(*) into candidates from app_user u join tenant t using (tenant_id)
    where u.state = 'active' and t.state <> 'closed' and (p_tenant is null or u.tenant_id = p_tenant)
      and (u.subject = p_subject or (u.subject = '' and p_email <> '' and lower(u.email) = lower(p_email)));
  if candidates <> 1 then
    return null;
  end if;
  select u.* into who from app_user u join tenant t using (tenant_id)
    where u.state = 'active' and t.state <> 'closed' and (p_tenant is null or u.tenant_id = p_tenant)
      and (u.subject = p_subject or (u.subject = '' and p_email <> '' and lower(u.email) = lower(p_email)));
  perform set_config('therouter.actor', 'user:' || who.user_id, true);
  update app_user set subject = p_subject, role = coalesce(p_role, role) where user_id = who.user_id;
  delete from person_session where user_id = who.user_id and expires_at < now();
  insert into person_session (session_id, tenant_id, user_id, expires_at)
    values (p_session_id, who.tenant_id, who.user_id, now() + make_interval(secs => least(greatest(p_life_s, 60), 86400)));
  perform audit_append(who.tenant_id, 'session.create', who.user_id::text, null, null);
  return jsonb_build_object('tenant_id', who.tenant_id, 'user_id', who.user_id, 'role', coalesce(p_role, who.role))::text;
end $$;

create function admin_sign_out(p_session_id text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  delete from person_session where session_id = p_session_id;
  return found;
end $$;

-- A key was found in public by somebody who proved to be the scanner: it is revoked. Answers whom to tell, or null for a key
-- that is not there or was revoked before.
create function admin_key_leaked(p_key_id text, p_source text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  leaked api_key;
begin
  perform set_config('therouter.actor', 'integration:' || p_source, true);
  update api_key set state = 'revoked', revoked_at = now() where key_id = p_key_id and state = 'active' returning * into leaked;
  if not found then
    return null;
  end if;
  perform audit_append(leaked.tenant_id, 'key.leak', p_key_id, null, jsonb_build_object('source', p_source));
  return (
    select jsonb_build_object('key_id', p_key_id, 'name', leaked.name, 'tenant_id', leaked.tenant_id,
      'addresses', coalesce(jsonb_agg(distinct u.email), '[]'))::text
    from app_user u
    where u.tenant_id = leaked.tenant_id and u.state = 'active' and (u.role in ('owner', 'admin') or u.user_id = leaked.user_id));
end $$;

grant execute on function admin_first_management_key(text, uuid, uuid, text, text), admin_sign_in(text, text, text, uuid, text, int),
  admin_sign_out(text), admin_key_leaked(text, text) to admin;
