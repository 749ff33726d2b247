-- What the rotation of secrets may do here: open and close the rooms' logins, have provider keys sealed anew, and say so in the
-- audit trail. Each room has two logins that take turns, `gateway` and `gateway_b`: the second has the rights of the first.

-- Written before the step, so that a step that was killed is in the trail as well, and one that is repeated twice.
create function rotation_note(p_secret text, p_step text, p_version text) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if p_secret !~ '^[a-z][a-z0-9-]{0,30}/[a-z][a-z0-9-]{0,62}$' or p_step !~ '^[a-z_]{1,32}$' or p_version !~ '^[A-Za-z0-9-]{0,64}$' then
    raise exception using errcode = 'TR400', constraint = 'rotation_invalid', message = 'rotation';
  end if;
  perform audit_append(null, 'secret.rotate', p_secret, null, jsonb_build_object('step', p_step, 'version', p_version));
end $$;

create function rotation_reseal(p_provider text, p_version int) returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update byok_care c set reseal_to = p_version, next_at = now(), tries = 0
    from byok_key b where b.record_id = c.record_id and b.provider = p_provider and b.key_version < p_version
      and c.reseal_to is distinct from p_version;
  return (select count(*) from byok_key b where b.provider = p_provider and b.key_version < p_version);
end $$;

create function rotation_logins() returns table (login text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select r.rolname::text from pg_catalog.pg_roles r where r.rolname = any (room_logins()) and r.rolcanlogin
$$;

-- Runs with the rights of a role that may alter these logins and nothing else. No verifier: the login is closed.
create function rotation_set_login(p_login text, p_verifier text) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  if not p_login = any (room_logins()) or p_verifier not like 'SCRAM-SHA-256$%' then
    raise exception using errcode = 'TR400', constraint = 'login_invalid', message = 'login';
  end if;
  if p_verifier is null then
    execute format('alter role %I nologin', p_login);
  else
    execute format('alter role %I login password %L', p_login, p_verifier);
  end if;
end $$;

grant execute on function room_logins() to therouter_logins;
grant execute on function rotation_note(text, text, text), rotation_reseal(text, int), rotation_logins(),
  rotation_set_login(text, text) to rotation;
alter function rotation_set_login(text, text) owner to therouter_logins;
