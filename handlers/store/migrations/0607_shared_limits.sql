-- Limits per minute and of open requests also for users and tenants, and one question for all windows that concern a request.
--
-- A subject is whose window it is: a key's id, `user:<id>` or `tenant:<id>`. A request is counted in all of its windows or in none,
-- so a refusal costs nothing anywhere. Locks are taken in one order, places before requests before tokens, then by subject.

create table rate_limit (
  tenant_id uuid not null references tenant,
  scope varchar(8) not null check (scope in ('tenant', 'user')),
  subject uuid not null, -- the tenant's or the user's id
  requests_per_minute bigint check (requests_per_minute between 0 and 1000000000),
  tokens_per_minute bigint check (tokens_per_minute between 0 and 1000000000),
  concurrent_requests bigint check (concurrent_requests between 0 and 1000000000),
  primary key (tenant_id, scope, subject),
  check (num_nonnulls(requests_per_minute, tokens_per_minute, concurrent_requests) > 0)
);
alter table rate_limit enable row level security;
create policy own_rows on rate_limit using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);
create trigger a_audit after insert or update or delete on rate_limit for each row execute function audit_change('limits', 'subject');
create trigger rate_limit_change after insert or update or delete on rate_limit for each row execute function note_key_change();
grant select, insert, update, delete on rate_limit to therouter_control;

-- Who is gone has no limits.
create function forget_rate_limits() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  delete from rate_limit where tenant_id = new.tenant_id
    and subject = case tg_table_name when 'tenant' then new.tenant_id else (to_jsonb(new) ->> 'user_id')::uuid end;
  return null;
end $$;
create trigger b_forget_limits after update of state on app_user for each row
  when (new.state <> 'active') execute function forget_rate_limits();
create trigger b_forget_limits after update of state on tenant for each row
  when (new.state = 'closed') execute function forget_rate_limits();

-- The limits that a key shares with others: its user's and its tenant's, as `handlers.keys.principal.SubjectLimits`.
create function gateway_shared_limits(p_tenant uuid, p_user uuid) returns text
language sql stable security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'scope', l.scope, 'subject', l.scope || ':' || l.subject, 'requests_per_minute', l.requests_per_minute,
      'tokens_per_minute', l.tokens_per_minute, 'concurrent_requests', l.concurrent_requests)) order by l.scope desc), '[]')::text
  from rate_limit l where l.tenant_id = p_tenant and l.subject in (p_tenant, p_user)
$$;

-- The gateway's row of a key, as in 0604, with them.
create function gateway_holder(p_key_id text) returns table (
  key_id text, hash text, state text, expires_at bigint, tenant_id uuid, user_id uuid, limits text, account_state text,
  retention_days int, byok_mode text, data_policy text, markup_ppm int, byok_fee_ppm int, shared_limits text
) language sql stable security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
  select p.*, gateway_shared_limits(p.tenant_id, p.user_id) from gateway_principal(p_key_id) p
$$;
grant execute on function gateway_holder(text) to gateway, admin;
revoke execute on function gateway_principal(text) from gateway, admin;

-- Windows and places by subject, as in 0013 and 0601.
drop function rate_take(text, text, bigint, bigint, bigint), rate_correct(text, text, bigint),
  place_take(text, uuid, bigint, int), place_give(text, uuid);
alter table rate_slot rename column key_id to subject;
alter table rate_slot alter column subject type varchar(64);
alter table place rename column key_id to subject;
alter table place alter column subject type varchar(64);

create function rate_take(
  p_subject text, p_kind text, p_need bigint, p_want bigint, p_limit bigint,
  out granted bigint, out remaining bigint, out wait_s int
) language plpgsql set search_path = therouter, pg_temp as $$
declare
  this_second bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_kind || ':' || p_subject, 0));
  this_second := floor(extract(epoch from clock_timestamp()));
  delete from rate_slot r where r.subject = p_subject and r.kind = p_kind and r.second < this_second - 60;
  select p_limit - coalesce(sum(r.used), 0) into remaining from rate_slot r where r.subject = p_subject and r.kind = p_kind;
  if remaining < p_need then
    granted := 0;
    select coalesce(min(s.second) + 61 - this_second, 61)::int into wait_s from (
      select r.second, sum(r.used) over (order by r.second) as freed
      from rate_slot r where r.subject = p_subject and r.kind = p_kind
    ) s where s.freed >= p_need - remaining;
    remaining := greatest(remaining, 0);
    return;
  end if;
  granted := least(greatest(p_want, p_need), remaining);
  remaining := remaining - granted;
  wait_s := 0;
  insert into rate_slot as r values (p_subject, p_kind, this_second, granted)
    on conflict (subject, kind, second) do update set used = r.used + excluded.used;
end $$;

create function place_take(
  p_subject text, p_process uuid, p_limit bigint, p_ttl_s int, out granted bigint, out remaining bigint, out wait_s int
) language plpgsql set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('places:' || p_subject, 0));
  delete from place p where p.subject = p_subject and p.expires_at < clock_timestamp();
  select greatest(p_limit - coalesce(sum(p.used), 0), 0) into remaining from place p where p.subject = p_subject;
  granted := least(remaining, 1);
  wait_s := 1 - granted;
  if granted = 1 then
    remaining := remaining - 1;
    insert into place as p values (p_subject, p_process, 1, clock_timestamp() + make_interval(secs => p_ttl_s))
      on conflict (subject, process) do update set used = p.used + 1, expires_at = excluded.expires_at;
  end if;
end $$;

-- Take from several windows, or from none when one of them has not enough: `refused` is its number, and `wait_s` for how long.
create function rate_admit(
  p_process uuid, p_ttl_s int, p_subjects text[], p_kinds text[], p_needs bigint[], p_wants bigint[], p_limits bigint[],
  out refused int, out wait_s int, out granted bigint[], out remaining bigint[]
) language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  taken record;
  i int;
begin
  refused := 0;
  granted := array_fill(0::bigint, array[cardinality(p_subjects)]);
  remaining := granted;
  begin
    for i in
      select n from generate_subscripts(p_subjects, 1) n order by p_kinds[n] collate "C", p_subjects[n] collate "C"
    loop
      if p_kinds[i] = 'places' then
        select * into taken from place_take(p_subjects[i], p_process, p_limits[i], p_ttl_s);
      else
        select * into taken from rate_take(p_subjects[i], p_kinds[i], p_needs[i], p_wants[i], p_limits[i]);
      end if;
      granted[i] := taken.granted;
      remaining[i] := taken.remaining;
      wait_s := taken.wait_s;
      if taken.granted = 0 then
        refused := i;
        raise exception using errcode = 'TR429', constraint = 'rate_limit', message = 'limit';
      end if;
    end loop;
  exception when sqlstate 'TR429' then
    granted := array_fill(0::bigint, array[cardinality(p_subjects)]); -- what was taken before is given back
  end;
end $$;
grant execute on function rate_admit(uuid, int, text[], text[], bigint[], bigint[], bigint[]) to gateway;

-- A request is over: give back its places, and count in its windows of tokens how much more it used than was taken, or less.
create function rate_settle(p_process uuid, p_places text[], p_tokens text[], p_difference bigint) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  name text;
begin
  for name in select n from unnest(p_places) n order by n collate "C" loop
    perform pg_advisory_xact_lock(hashtextextended('places:' || name, 0));
    delete from place p where p.subject = name and p.process = p_process and p.used <= 1;
    if not found then
      update place p set used = p.used - 1 where p.subject = name and p.process = p_process;
    end if;
  end loop;
  for name in select n from unnest(p_tokens) n order by n collate "C" loop
    perform pg_advisory_xact_lock(hashtextextended('tokens:' || name, 0));
    insert into rate_slot as r values (name, 'tokens', floor(extract(epoch from clock_timestamp())), p_difference)
      on conflict (subject, kind, second) do update set used = r.used + excluded.used;
  end loop;
end $$;
grant execute on function rate_settle(uuid, text[], text[], bigint) to gateway;

-- As in 0011: look-ups by key use the index from the first call.
do $$
declare
  name regprocedure;
begin
  foreach name in array array[
    'rate_take(text, text, bigint, bigint, bigint)', 'place_take(text, uuid, bigint, int)',
    'rate_settle(uuid, text[], text[], bigint)']::regprocedure[]
  loop
    execute format('alter function %s set enable_seqscan = off', name);
    execute format('alter function %s set enable_hashjoin = off', name);
    execute format('alter function %s set enable_mergejoin = off', name);
  end loop;
end $$;

-- The control plane's view of them.

create function control_limits(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'budgets:read');
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', case when l.scope = 'user' then l.subject end, 'requests_per_minute', l.requests_per_minute,
        'tokens_per_minute', l.tokens_per_minute, 'concurrent_requests', l.concurrent_requests
      ) order by l.scope, l.subject), '[]')::text
    from rate_limit l where l.tenant_id = mine);
end $$;

-- p_user null: the tenant's own limits. All three null: remove them.
create function control_set_limits(p_caller jsonb, p_user uuid, p_requests bigint, p_tokens bigint, p_concurrent bigint)
returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
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
  if num_nonnulls(p_requests, p_tokens, p_concurrent) = 0 then
    delete from rate_limit where tenant_id = mine and scope = kind and subject = coalesce(p_user, mine);
  else
    insert into rate_limit as l values (mine, kind, coalesce(p_user, mine), p_requests, p_tokens, p_concurrent)
      on conflict (tenant_id, scope, subject) do update set requests_per_minute = excluded.requests_per_minute,
        tokens_per_minute = excluded.tokens_per_minute, concurrent_requests = excluded.concurrent_requests;
  end if;
  return control_limits(p_caller);
end $$;

do $$
declare
  name regprocedure;
begin
  foreach name in array array[
    'control_limits(jsonb)', 'control_set_limits(jsonb, uuid, bigint, bigint, bigint)']::regprocedure[]
  loop
    execute format('grant execute on function %s to admin, therouter_control', name);
    execute format('alter function %s owner to therouter_control', name);
  end loop;
end $$;
