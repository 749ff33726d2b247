-- The control plane's tables: what roles may do, people's sessions, and what keys and users gained.

-- The operator's own tenant: its owners and admins may look after other tenants, and each look is audited.
alter table tenant add column operator boolean not null default false;

alter table app_user add column state varchar(8) not null default 'active' check (state in ('active', 'removed', 'erased'));
-- Who the identity provider says it is; empty until the first sign-in.
alter table app_user add column subject varchar(255) not null default '' check (subject !~ '[[:cntrl:]]');

-- A management key acts here with a role and infers nothing; all other keys infer and do nothing here.
alter table api_key add column management boolean not null default false;
alter table api_key add column role varchar(8) check (role in ('owner', 'admin', 'billing', 'member', 'viewer', 'auditor'));
alter table api_key add column replaces varchar(16);
alter table api_key add constraint api_key_management_check check (management = (role is not null));

-- Which secret it is, for whoever has the secret: HMAC-SHA256 under a key of the admin room.
alter table byok_key add column digest varchar(80) not null default '' check (digest ~ '^(hmac:v[0-9]+:[0-9a-f]{64})?$');

create table role_scope (
  role varchar(8) not null,
  scope varchar(32) not null check (scope ~ '^[a-z]+:[a-z]+$'),
  primary key (role, scope)
);
insert into role_scope (role, scope)
select r.role, s.scope
from (values
  ('tenant:read', 'owner admin billing member viewer auditor'), ('tenant:write', 'owner admin'),
  ('tenant:close', 'owner'), ('retention:write', 'owner admin'),
  ('users:read', 'owner admin viewer auditor'), ('users:write', 'owner admin'), ('owners:write', 'owner'),
  ('keys:read', 'owner admin member viewer auditor'), ('keys:write', 'owner admin member'),
  ('management:write', 'owner admin'),
  ('byok:read', 'owner admin viewer auditor'), ('byok:write', 'owner admin'),
  ('budgets:read', 'owner admin billing viewer auditor'), ('budgets:write', 'owner admin billing'),
  ('credits:read', 'owner admin billing viewer auditor'),
  ('usage:read', 'owner admin billing member viewer auditor'), ('usage:export', 'owner admin billing auditor'),
  ('audit:read', 'owner admin auditor'), ('account:export', 'owner'),
  ('tenants:read', 'owner admin'), ('tenants:write', 'owner admin')
) s(scope, roles)
cross join lateral unnest(string_to_array(s.roles, ' ')) r(role);

-- A person who signed in. The token is in the person's cookie alone; here is its SHA-256.
create table person_session (
  session_id varchar(64) primary key check (session_id ~ '^[0-9a-f]{64}$'),
  tenant_id uuid not null references tenant,
  user_id uuid not null references app_user,
  created_at timestamptz not null default now(),
  proved_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index person_session_user on person_session (tenant_id, user_id);

alter table person_session enable row level security;
create policy own_rows on person_session using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);

-- What the control plane's functions may touch; which rows of it, the policies say.
grant select, update on tenant to therouter_control;
grant select on account, usage_event, usage_rollup, usage_purged, entry, role_scope to therouter_control;
grant select, insert, update on app_user, api_key to therouter_control;
grant update on usage_event, usage_rollup to therouter_control;
grant select, insert, update, delete on byok_key, budget, person_session to therouter_control;
grant execute on function key_limits_valid(jsonb), uuid7_at(uuid), period_start(text) to therouter_control;

-- Whoever verifies a key learns from its limits that it is for management.
create or replace function gateway_key(p_key_id text) returns table (
  key_id text, hash text, state text, expires_at bigint, tenant_id uuid, user_id uuid, limits text, account_state text,
  retention_days int, byok_mode text, data_policy text, markup_ppm int
) language sql stable security definer
set search_path = therouter, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select k.key_id, k.hash, k.state, extract(epoch from k.expires_at)::bigint, k.tenant_id, k.user_id,
    case when k.management then (k.limits || '{"management": true}')::text else k.limits::text end,
    case when 'closed' in (t.state, a.state) then 'closed' when 'frozen' in (t.state, a.state) then 'frozen' else 'active' end,
    t.retention_days, t.byok_mode, t.data_policy, t.markup_ppm
  from api_key k join tenant t using (tenant_id) join account a using (tenant_id)
  where k.key_id = p_key_id
$$;
grant execute on function gateway_key(text) to admin;
