-- What gateways see to for customers' provider keys, since they alone reach the providers' rooms: have a key tried with a
-- minimal call, and have it sealed anew once there is a newer sealing key. One row for each provider key.

create table byok_care (
  record_id uuid primary key references byok_key on delete cascade,
  tenant_id uuid not null references tenant,
  -- The key is to be tried.
  check_due boolean not null default true,
  -- What came of the last try, and when; null before the first.
  verdict varchar(12) check (verdict in ('valid', 'invalid_key', 'cannot_tell')),
  checked_at timestamptz,
  -- The version of the provider's sealing key that the record is to be sealed to at least; null: as it is.
  reseal_to int check (reseal_to > 0),
  -- Not before this moment; also how long a gateway keeps a task that it has taken.
  next_at timestamptz not null default now(),
  tries int not null default 0 check (tries >= 0)
);
create index byok_care_due on byok_care (next_at) where check_due or reseal_to is not null;
alter table byok_care enable row level security;
create policy own_rows on byok_care using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);
grant select, update on byok_care to therouter_control;

insert into byok_care (record_id, tenant_id, check_due) select record_id, tenant_id, false from byok_key;

-- A new key, or another in its place, is tried once. Sealing it anew leaves its digest alone.
create function note_byok_care() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  insert into byok_care as c (record_id, tenant_id) values (new.record_id, new.tenant_id)
    on conflict (record_id) do update set check_due = true, verdict = null, checked_at = null, next_at = now(), tries = 0;
  return null;
end $$;
create trigger b_care after insert on byok_key for each row execute function note_byok_care();
create trigger b_care_again after update of digest on byok_key for each row
  when (old.digest is distinct from new.digest) execute function note_byok_care();

-- Whoever sealed it to a newer version, that is done.
create function note_byok_resealed() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update byok_care c set reseal_to = null, tries = 0, next_at = now()
    where c.record_id = new.record_id and c.reseal_to <= new.key_version;
  return null;
end $$;
create trigger b_care_resealed after update of key_version on byok_key for each row
  when (old.key_version < new.key_version) execute function note_byok_resealed();

-- For gateways. A task is taken for a minute, and after each try that came to nothing for longer.
create function gateway_byok_care(p_limit int) returns table (
  record_id uuid, tenant_id uuid, provider text, sealed text, scope text, check_due boolean, reseal_to int
) language sql security definer set search_path = therouter, pg_temp as $$
  with due as (
    select c.record_id from byok_care c
    where (c.check_due or c.reseal_to is not null) and c.next_at <= now()
    order by c.next_at limit least(greatest(p_limit, 1), 100)
    for update skip locked
  ), taken as (
    update byok_care c set tries = c.tries + 1, next_at = now() + make_interval(mins => least(c.tries + 1, 60))
    from due where c.record_id = due.record_id
    returning c.record_id, c.check_due, c.reseal_to
  )
  select b.record_id, b.tenant_id, b.provider, b.sealed, b.scope::text, t.check_due, t.reseal_to
  from taken t join byok_key b using (record_id)
$$;

-- What came of a try. False when the record has another key by now: that one is tried in its turn.
create function gateway_byok_checked(p_record uuid, p_sealed text, p_verdict text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update byok_care c set check_due = false, verdict = p_verdict, checked_at = now(), tries = 0, next_at = now()
    from byok_key b where c.record_id = p_record and c.check_due and b.record_id = p_record and b.sealed = p_sealed;
  return found;
end $$;

-- The same key sealed to a newer version. Nothing but the version and what follows it may differ, and the text before must be
-- the one that was sealed anew: a key that its owner replaced or deleted meanwhile stays replaced or deleted.
create function gateway_byok_resealed(p_record uuid, p_before text, p_sealed text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  header constant text[] := string_to_array(p_sealed, '.');
  version constant int := case when header[5] ~ '^[1-9][0-9]{0,8}$' then header[5]::int end;
begin
  if version is null or cardinality(header) <> 6 or header[1:4] <> (string_to_array(p_before, '.'))[1:4] then
    raise exception using errcode = 'TR400', constraint = 'byok_sealed_invalid', message = 'sealed';
  end if;
  perform set_config('therouter.reason', 'sealed anew', true);
  update byok_key b set sealed = p_sealed, key_version = version
    where b.record_id = p_record and b.sealed = p_before and b.key_version < version;
  return found;
end $$;
grant execute on function gateway_byok_care(int), gateway_byok_checked(uuid, text, text), gateway_byok_resealed(uuid, text, text)
  to gateway;

-- For the control plane.
create or replace function byok_json(b byok_key) returns jsonb
language sql stable set search_path = therouter, pg_temp as $$
  select jsonb_build_object(
    'record_id', b.record_id, 'provider', b.provider, 'label', b.label, 'scope', b.scope, 'state', b.state, 'digest', b.digest,
    'key_version', b.key_version, 'created_at', unix_s(b.created_at),
    'check', (select jsonb_build_object('due', c.check_due, 'verdict', c.verdict, 'checked_at', unix_s(c.checked_at))
      from byok_care c where c.record_id = b.record_id))
$$;

create function control_check_byok(p_caller jsonb, p_record uuid) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'byok:write');
  target byok_key := find_own_byok(mine, p_record);
begin
  update byok_care set check_due = true, next_at = now(), tries = 0
    where tenant_id = mine and record_id = p_record and not check_due;
  if found then
    perform audit_append(mine, 'byok.check', p_record::text, null, null);
  end if;
  return byok_json(target)::text;
end $$;
grant execute on function control_check_byok(jsonb, uuid) to admin, therouter_control;
alter function control_check_byok(jsonb, uuid) owner to therouter_control;
