-- Who exists. Runs before every migration run, as the migrating role, and changes nothing the second time.
--
-- therouter_owner   owns everything, never logs in; functions run with its rights
-- therouter_control owns the control plane's functions; it does not own their tables, so that row-level security binds them
-- therouter_logins  may alter the rooms' logins; owns the one function that does
-- gateway ... site  one role per room: inherit nothing, may EXECUTE the functions and read the views granted to them
-- gateway_b ...     a room's second login, with the rights of the first: the two take turns when passwords are rotated
-- founder           the command line of one machine, and whoever puts the first tenant into a new deployment; no room has its
--                   password, and rotation cannot set it. It alone names tenants: the rooms find them from whoever they have
--                   authenticated
-- The site reads nothing here, so its role cannot log in and has no password.
create schema if not exists therouter;

create or replace function therouter.room_logins() returns text[] language sql immutable set search_path = pg_catalog as $$
  select array_agg(room || suffix order by room, suffix)
  from unnest(array['gateway', 'admin', 'payments', 'operations', 'rotation']) room
  cross join unnest(array['', '_b']) suffix
$$;

do $$
declare
  room text;
begin
  if not exists (select from pg_roles where rolname = 'therouter_owner') then
    create role therouter_owner nologin noinherit;
  end if;
  if not exists (select from pg_roles where rolname = 'therouter_control') then
    create role therouter_control nologin noinherit;
  end if;
  if not exists (select from pg_roles where rolname = 'therouter_logins') then
    create role therouter_logins nologin noinherit createrole;
  end if;
  grant therouter_control to therouter_owner;
  grant therouter_logins to therouter_owner;
  -- From PostgreSQL 16 on, who creates a role may grant it and not yet act as it.
  execute format('grant therouter_owner to %I', current_user);
  foreach room in array therouter.room_logins() || array['site', 'founder'] loop
    if not exists (select from pg_roles where rolname = room) then
      if room like '%\_b' then
        execute format('create role %I nologin inherit connection limit 200', room);
      else
        execute format('create role %I login noinherit connection limit 200', room);
      end if;
    end if;
    if room like '%\_b' then
      execute format('grant %I to %I', left(room, -2), room);
    end if;
    if room = any (therouter.room_logins()) then
      execute format('grant %I to therouter_logins with admin option', room);
    end if;
    if room = 'site' then
      execute format('alter role %I nologin password null', room);
    end if;
    execute format('grant connect on database %I to %I', current_database(), room);
    execute format('alter role %I in database %I set search_path = pg_catalog', room, current_database());
    -- No value of a request may reach the server's log: messages and statements of ERRORs quote values.
    -- Managed databases set these three in their parameter group instead.
    begin
      execute format('alter role %I set log_error_verbosity = terse', room);
      execute format('alter role %I set log_min_error_statement = panic', room);
      execute format('alter role %I set log_min_messages = fatal', room);
    exception when insufficient_privilege then
      null;
    end;
  end loop;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant create on database %I to therouter_owner', current_database());
end $$;

revoke all on schema public from public;
alter default privileges for role therouter_owner revoke execute on functions from public;
alter default privileges for role therouter_owner revoke usage on types from public;

alter schema therouter owner to therouter_owner;
alter function therouter.room_logins() owner to therouter_owner;
revoke all on function therouter.room_logins() from public;
grant usage, create on schema therouter to therouter_control, therouter_logins;
grant usage on schema therouter to gateway, admin, payments, operations, rotation, site, founder;

-- What has been applied; the digest tells a changed file from the one that ran.
create table if not exists therouter.migration (
  name text primary key,
  sha256 text not null,
  applied_at timestamptz not null default now()
);
alter table therouter.migration owner to therouter_owner;

-- Give a room's role its password, as a SCRAM verifier: the password itself never travels.
create or replace function therouter.set_login(p_role text, p_verifier text) returns void
language plpgsql set search_path = pg_catalog as $$
begin
  if not p_role = any (therouter.room_logins() || array['founder']) or p_verifier not like 'SCRAM-SHA-256$%' then
    raise exception using errcode = 'TR400', constraint = 'login_invalid', message = 'login';
  end if;
  execute format('alter role %I login password %L', p_role, p_verifier);
end $$;
revoke all on function therouter.set_login(text, text) from public;
