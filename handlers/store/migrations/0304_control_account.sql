-- Usage, credit, the audit trail, the account as a whole, and what operators may do; see 0302_control_people.sql.

create function control_credits(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'credits:read');
begin
  return (
    select jsonb_build_object(
      'balance_nano', a.balance_nano, 'held_nano', a.held_nano, 'state', a.state,
      'used_nano', (select coalesce(sum(r.cost_nano), 0)::bigint from usage_rollup r where r.tenant_id = mine))::text
    from account a where a.tenant_id = mine);
end $$;

-- Sums by day and whatever else is named in p_by: model, provider, key_id, user_id.
create function control_activity(
  p_caller jsonb, p_from date, p_to date, p_by text[], p_key_id text, p_user uuid, p_model text
) returns text language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'usage:read');
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(s) order by s.day, s.model, s.provider, s.key_id, s.user_id), '[]')::text
    from (
      select r.day, case when 'model' = any (p_by) then r.model end as model,
        case when 'provider' = any (p_by) then r.provider end as provider,
        case when 'key_id' = any (p_by) then r.key_id end as key_id,
        case when 'user_id' = any (p_by) then r.user_id end as user_id,
        sum(r.requests)::bigint as requests, sum(r.prompt_tokens)::bigint as prompt_tokens,
        sum(r.completion_tokens)::bigint as completion_tokens, sum(r.cache_read_tokens)::bigint as cache_read_tokens,
        sum(r.cache_write_tokens)::bigint as cache_write_tokens, sum(r.reasoning_tokens)::bigint as reasoning_tokens,
        sum(r.cost_nano)::bigint as cost_nano
      from usage_rollup r
      where r.tenant_id = mine and r.day between p_from and p_to and (own_user() is null or r.user_id = own_user())
        and (p_key_id is null or r.key_id = p_key_id) and (p_user is null or r.user_id = p_user)
        and (p_model is null or r.model = p_model)
      group by 1, 2, 3, 4, 5 having sum(r.requests) > 0 limit 4001
    ) s);
end $$;

-- The rows themselves, a page at a time, oldest first, after (p_after_ts, p_after_id).
create function control_usage(p_caller jsonb, p_after_ts timestamptz, p_after_id uuid, p_limit int) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
declare
  mine uuid := enter(p_caller, 'usage:export');
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(s) order by s.ts, s.request_id), '[]')::text
    from (
      select * from usage_event e where e.tenant_id = mine and (e.ts, e.request_id) > (p_after_ts, p_after_id)
      order by e.ts, e.request_id limit p_limit
    ) s);
end $$;

create function control_generation(p_caller jsonb, p_request uuid) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'usage:read');
begin
  return (select to_jsonb(e)::text from usage_event e
    where e.ts = uuid7_at(p_request) and e.request_id = p_request and e.tenant_id = mine
      and (own_user() is null or e.user_id = own_user()));
end $$;

-- The trail as its tenant may see it. Leaves of other tenants' rows are part of the proof and say nothing: their text is
-- salted. Reading it belongs to therouter_owner, because a proof needs every leaf.
create function control_audit(p_caller jsonb, p_after bigint, p_limit int, p_all boolean) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'audit:read');
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'seq', s.seq, 'record', case when s.tenant_id = mine then s.record end,
        'leaf', encode(s.leaf, 'hex'), 'chain', encode(s.chain, 'hex')) order by s.seq), '[]')::text
    from (
      select * from audit_row r where r.seq > p_after and (p_all or r.tenant_id = mine) order by r.seq limit p_limit
    ) s);
end $$;

-- Everything that is kept about the account, beside its usage and its audit trail, which have exports of their own.
create function control_export(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'account:export', 900);
begin
  return (
    select jsonb_build_object(
      'tenant', tenant_json(t),
      'users', (select coalesce(jsonb_agg(user_json(u) order by u.user_id), '[]') from app_user u
        where u.tenant_id = mine and u.state = 'active'),
      'keys', (select coalesce(jsonb_agg(key_json(k) order by k.key_id), '[]') from api_key k where k.tenant_id = mine),
      'byok', (select coalesce(jsonb_agg(byok_json(b) order by b.record_id), '[]') from byok_key b where b.tenant_id = mine),
      'budgets', (select coalesce(jsonb_agg(to_jsonb(b) - 'tenant_id'), '[]') from budget b where b.tenant_id = mine),
      'entries', (select coalesce(jsonb_agg(jsonb_build_object(
          'at', unix_s(e.at), 'kind', e.kind, 'amount_nano', e.amount_nano, 'reason', e.reason) order by e.entry_id), '[]')
        from entry e where e.tenant_id = mine and e.kind not in ('usage', 'correction')))::text
    from tenant t where t.tenant_id = mine);
end $$;

-- Close the account: keys are revoked, provider keys are gone, people are erased, and retention becomes one day, so that the
-- next purge takes the usage rows. The ledger's sums stay; they name nobody.
create function control_close_account(p_caller jsonb, p_name text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'tenant:close', 900);
  removed record;
begin
  perform from tenant where tenant_id = mine and name = p_name for no key update;
  if not found then
    raise exception using errcode = 'TR409', constraint = 'confirmation_required', message = 'confirm';
  end if;
  for removed in select u.user_id, gen_random_uuid() as nobody from app_user u where u.tenant_id = mine and u.state <> 'erased' loop
    update app_user set state = 'erased', email = 'erased-' || removed.nobody || '@invalid', subject = ''
      where tenant_id = mine and user_id = removed.user_id;
    update usage_event set user_id = removed.nobody where tenant_id = mine and user_id = removed.user_id;
    update usage_rollup set user_id = removed.nobody where tenant_id = mine and user_id = removed.user_id;
  end loop;
  update api_key set state = 'revoked', revoked_at = now() where tenant_id = mine and state = 'active';
  delete from byok_key where tenant_id = mine;
  delete from budget where tenant_id = mine;
  delete from person_session where tenant_id = mine;
  update tenant set state = 'closed', retention_days = 1 where tenant_id = mine;
  return jsonb_build_object('tenant_id', mine, 'state', 'closed')::text;
end $$;

-- Operators. Looking at a customer's account is an audited act in the customer's own trail.

create function control_tenants(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'tenants:read');
  return (select coalesce(jsonb_agg(tenant_json(t) order by t.created_at, t.tenant_id), '[]')::text from tenant t);
end $$;

create function control_inspect_tenant(p_caller jsonb, p_tenant uuid) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  seen text;
begin
  perform enter(p_caller, 'tenants:read', 900);
  select (tenant_json(t) || jsonb_build_object('balance_nano', a.balance_nano, 'held_nano', a.held_nano))::text into seen
    from tenant t join account a using (tenant_id) where t.tenant_id = p_tenant;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  perform audit_append(p_tenant, 'tenant.inspect', p_tenant::text, null, null);
  return seen;
end $$;

-- A tenant with its first owner.
create function control_create_tenant(p_caller jsonb, p_tenant uuid, p_name text, p_user uuid, p_email text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'tenants:write', 900);
  insert into tenant (tenant_id, name) values (p_tenant, p_name);
  insert into account (tenant_id) values (p_tenant);
  insert into app_user (user_id, tenant_id, email, role) values (p_user, p_tenant, p_email, 'owner');
  return (select tenant_json(t)::text from tenant t where t.tenant_id = p_tenant);
end $$;

create function control_set_tenant_state(p_caller jsonb, p_tenant uuid, p_state text) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'tenants:write', 900);
  update tenant set state = p_state where tenant_id = p_tenant and not operator and state <> 'closed';
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  return (select tenant_json(t)::text from tenant t where t.tenant_id = p_tenant);
end $$;

-- The functions' owners and users.
do $$
declare
  name regprocedure;
begin
  for name in
    select p.oid from pg_proc p where p.pronamespace = 'therouter'::regnamespace and p.proname like 'control\_%'
  loop
    execute format('grant execute on function %s to admin', name);
    if name::text !~ '^(control_principal|control_audit|control_tenants|control_inspect_tenant|control_create_tenant|control_set_tenant_state)\(' then
      execute format('grant execute on function %s to therouter_control', name);
      execute format('alter function %s owner to therouter_control', name);
    end if;
  end loop;
  foreach name in array array[
    'tenant_json(tenant)', 'user_json(app_user)', 'key_json(api_key)', 'byok_json(byok_key)', 'find_own_key(uuid, text)',
    'guard_key(api_key)', 'find_own_byok(uuid, uuid)', 'own_user_for_change(uuid, uuid, text)'
  ]::regprocedure[]
  loop
    execute format('grant execute on function %s to therouter_control', name);
  end loop;
end $$;
