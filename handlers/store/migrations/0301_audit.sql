-- The audit trail: who changed what, written by triggers in the transaction of the change. No function can forget it, and a
-- change whose row cannot be written does not happen.
--
-- record  the row as text, exactly as it was hashed; it holds its number, its time and a random salt
-- leaf    SHA-256(0x00, record): the leaf of the Merkle tree that checkpoints sign
-- chain   SHA-256(0x01, chain of the row before, leaf); 32 zero bytes before the first
--
-- Names of people and secrets are not in a record: of hidden fields it says that they changed.

create table audit_row (
  seq bigint primary key check (seq > 0),
  at timestamptz not null,
  tenant_id uuid,
  record text not null,
  leaf bytea not null check (octet_length(leaf) = 32),
  chain bytea not null check (octet_length(chain) = 32)
);
create index audit_row_tenant on audit_row (tenant_id, seq);
alter table audit_row enable row level security;
create policy own_rows on audit_row using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);
grant select on audit_row to therouter_control;

create function refuse_audit_rewriting() returns trigger language plpgsql set search_path = therouter, pg_temp as $$
begin
  raise exception using errcode = 'TR409', constraint = 'append_only', message = 'append only';
end $$;
create trigger audit_append_only before update or delete on audit_row for each row execute function refuse_audit_rewriting();
create trigger audit_no_truncate before truncate on audit_row for each statement execute function refuse_audit_rewriting();

-- Append one row. The actor, request and reason are those that `enter` noted for this transaction; where nobody entered,
-- the actor is the database role itself. The lock makes numbers gapless and the chain one chain.
create function audit_append(
  p_tenant uuid, p_action text, p_target text, p_before jsonb, p_after jsonb
) returns bigint language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  last record;
  made record;
begin
  perform pg_advisory_xact_lock(hashtextextended('therouter.audit', 0));
  select a.seq, a.chain into last from audit_row a order by a.seq desc limit 1;
  select coalesce(last.seq, 0) + 1 as seq, clock_timestamp() as at, null::text as record, null::bytea as leaf into made;
  made.record := jsonb_build_object(
    'seq', made.seq,
    'at', to_char(made.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'tenant_id', p_tenant,
    'actor', coalesce(nullif(current_setting('therouter.actor', true), ''), 'role:' || session_user),
    'action', p_action,
    'target', p_target,
    'before', p_before,
    'after', p_after,
    'reason', coalesce(current_setting('therouter.reason', true), ''),
    'request', coalesce(current_setting('therouter.request', true), ''),
    'salt', replace(gen_random_uuid()::text, '-', ''))::text;
  made.leaf := sha256('\x00'::bytea || convert_to(made.record, 'UTF8'));
  insert into audit_row (seq, at, tenant_id, record, leaf, chain)
    values (made.seq, made.at, p_tenant, made.record, made.leaf,
      sha256('\x01'::bytea || coalesce(last.chain, decode(repeat('00', 32), 'hex')) || made.leaf));
  return made.seq;
end $$;
grant execute on function audit_append(uuid, text, text, jsonb, jsonb) to therouter_control;

-- One row's change: its fields, or for an update those that differ.
-- Arguments: what it is called in the trail, and the column that identifies it.
create function audit_change() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  hidden constant text[] := array['hash', 'sealed', 'email', 'subject', 'session_id'];
  old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  either jsonb := coalesce(new_row, old_row);
  names text[];
begin
  select array_agg(k) into names from jsonb_object_keys(either) k
    where k not in ('tenant_id', 'last_used_day', 'created_at', tg_argv[1])
      and (old_row is null or new_row is null or old_row -> k is distinct from new_row -> k);
  if names is null and tg_op = 'UPDATE' then
    return null;
  end if;
  perform audit_append(
    (either ->> 'tenant_id')::uuid,
    tg_argv[0] || case tg_op when 'INSERT' then '.create' when 'UPDATE' then '.update' else '.delete' end,
    either ->> tg_argv[1],
    (select jsonb_object_agg(k, case when k = any (hidden) then '"(hidden)"' else old_row -> k end) from unnest(names) k
      where old_row is not null),
    (select jsonb_object_agg(k, case when k = any (hidden) then '"(hidden)"' else new_row -> k end) from unnest(names) k
      where new_row is not null));
  return null;
end $$;

-- Named to fire before the triggers that note changes for the gateways: every transaction takes the locks in one order.
create trigger a_audit after insert or update or delete on tenant for each row execute function audit_change('tenant', 'tenant_id');
create trigger a_audit after insert or update or delete on app_user for each row execute function audit_change('user', 'user_id');
create trigger a_audit after insert or delete or update of tenant_id, user_id, name, hash, state, expires_at, limits, management, role
  on api_key for each row execute function audit_change('key', 'key_id');
create trigger a_audit after insert or update or delete on byok_key for each row execute function audit_change('byok', 'record_id');
create trigger a_audit after insert or update or delete on budget for each row execute function audit_change('budget', 'subject');
create trigger a_audit after update of state on account for each row execute function audit_change('account', 'tenant_id');

-- Money that moved by another way than use.
create function audit_money() returns trigger
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform audit_append(new.tenant_id, 'money.' || new.kind, new.txn_key, null,
    jsonb_build_object('amount_nano', new.amount_nano, 'reason', new.reason));
  return null;
end $$;
create trigger a_audit after insert on entry for each row
  when (new.tenant_id is not null and new.kind not in ('usage', 'correction', 'rollup')) execute function audit_money();
