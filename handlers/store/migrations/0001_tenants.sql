-- Tenants, their users and their keys. Text is bounded and has a checked alphabet: nothing here can hold a body.

-- Names that people give to things: one line, no control characters.
create domain label as varchar(128) check (value !~ '[[:cntrl:]]' and value = btrim(value));
-- Names from our own catalogues.
create domain slug as varchar(128) check (value ~ '^[A-Za-z0-9._:/@+-]*$');

create table tenant (
  tenant_id uuid primary key,
  name label not null check (name <> ''),
  state varchar(8) not null default 'active' check (state in ('active', 'frozen', 'closed')),
  retention_days int not null default 90 check (retention_days between 1 and 730),
  byok_mode varchar(8) not null default 'prefer' check (byok_mode in ('prefer', 'only', 'off')),
  data_policy varchar(16) not null default 'any' check (data_policy in ('any', 'no_training', 'zero_retention')),
  markup_ppm int not null default 0 check (markup_ppm between 0 and 10000000),
  created_at timestamptz not null default now()
);

create table app_user (
  user_id uuid primary key,
  tenant_id uuid not null references tenant,
  email varchar(254) not null check (email ~ '^[^[:space:][:cntrl:]]+@[^[:space:][:cntrl:]]+$'),
  role varchar(8) not null default 'member' check (role in ('owner', 'admin', 'member', 'viewer')),
  created_at timestamptz not null default now(),
  constraint app_user_email_key unique (tenant_id, email)
);

-- Exactly the fields of handlers.keys.principal.KeyLimits, each of its type.
create function key_limits_valid(p_limits jsonb) returns boolean
language sql immutable set search_path = therouter, pg_temp as $$
  select jsonb_typeof(p_limits) = 'object' and octet_length(p_limits::text) <= 8192 and coalesce(bool_and(
    case
      when key in ('requests_per_minute', 'tokens_per_minute', 'concurrent_requests', 'spend_nano') then
        jsonb_typeof(value) = 'null'
        or (jsonb_typeof(value) = 'number' and value::numeric = trunc(value::numeric) and value::numeric between 0 and 1e18)
      when key = 'spend_period' then value in ('""', '"daily"', '"weekly"', '"monthly"')
      when key = 'data_policy' then value in ('"any"', '"no_training"', '"zero_retention"')
      when key = 'byok_only' then jsonb_typeof(value) = 'boolean'
      when key = 'models' then
        jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, '$[*] ? (!(@ like_regex "^[A-Za-z0-9._:/@+*-]{1,128}$"))')
      when key = 'ip_ranges' then
        jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, '$[*] ? (!(@ like_regex "^[0-9A-Fa-f.:/]{1,49}$"))')
      else false
    end), true)
  from jsonb_each(case jsonb_typeof(p_limits) when 'object' then p_limits else '{}' end)
$$;

create table api_key (
  key_id varchar(16) primary key check (key_id ~ '^[0-9A-Za-z]{16}$'),
  tenant_id uuid not null references tenant,
  user_id uuid not null references app_user,
  name label not null,
  hash varchar(60) not null check (hash ~ '^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$'),
  state varchar(8) not null default 'active' check (state in ('active', 'revoked')),
  expires_at timestamptz,
  limits jsonb not null default '{}' check (key_limits_valid(limits)),
  created_at timestamptz not null default now(),
  last_used_day date,
  revoked_at timestamptz,
  check ((state = 'revoked') = (revoked_at is not null))
);
create index api_key_tenant on api_key (tenant_id, created_at);

create table byok_key (
  record_id uuid primary key,
  tenant_id uuid not null references tenant,
  provider slug not null check (provider <> ''),
  sealed varchar(8192) not null check (sealed ~ '^[A-Za-z0-9._:=+/-]+$'),
  key_version int not null check (key_version > 0),
  label label not null default '',
  scope jsonb not null default '{}' check (jsonb_typeof(scope) = 'object' and octet_length(scope::text) <= 4096),
  state varchar(8) not null default 'active' check (state in ('active', 'disabled')),
  created_at timestamptz not null default now()
);
create index byok_key_tenant on byok_key (tenant_id, provider);

-- What changed, for the gateways' caches. Appended under one lock, so that numbers become visible in their order: who
-- has seen number n will never be shown a smaller one afterwards.
create table key_change (
  seq bigserial primary key,
  key_id varchar(16),
  tenant_id uuid,
  at timestamptz not null default now()
);

create function note_key_change() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('therouter.key_change', 0));
  if tg_table_name = 'api_key' then
    insert into key_change (key_id, tenant_id) values (coalesce(new.key_id, old.key_id), coalesce(new.tenant_id, old.tenant_id));
  else
    insert into key_change (tenant_id) values (coalesce(new.tenant_id, old.tenant_id));
  end if;
  return null;
end $$;

create trigger api_key_change after insert or delete or update of tenant_id, user_id, hash, state, expires_at, limits
  on api_key for each row execute function note_key_change();
create trigger tenant_change after update or delete on tenant for each row execute function note_key_change();
create trigger byok_key_change after insert or update or delete on byok_key for each row execute function note_key_change();
