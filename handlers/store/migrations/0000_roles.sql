-- Who exists. Runs before every migration run, as the migrating role, and changes nothing the second time.
--
-- therouter_owner   owns everything, never logs in; functions run with its rights
-- therouter_control owns the control plane's functions; it does not own their tables, so that row-level security binds them
-- gateway ... site  one role per room: log in, inherit nothing, may EXECUTE the functions and read the views granted to them
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
  grant therouter_control to therouter_owner;
  -- From PostgreSQL 16 on, who creates a role may grant it and not yet act as it.
  execute format('grant therouter_owner to %I', current_user);
  foreach room in array array['gateway', 'admin', 'payments', 'operations', 'site'] loop
    if not exists (select from pg_roles where rolname = room) then
      execute format('create role %I login noinherit connection limit 200', room);
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

create schema if not exists therouter authorization therouter_owner;
grant usage, create on schema therouter to therouter_control;
grant usage on schema therouter to gateway, admin, payments, operations, site;

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
  if p_role not in ('gateway', 'admin', 'payments', 'operations', 'site') or p_verifier not like 'SCRAM-SHA-256$%' then
    raise exception using errcode = 'TR400', constraint = 'login_invalid', message = 'login';
  end if;
  execute format('alter role %I password %L', p_role, p_verifier);
end $$;
revoke all on function therouter.set_login(text, text) from public;
