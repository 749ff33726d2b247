-- After a restore the database is as it was, and what was revoked, removed and purged since is back. What has to be taken away
-- again is told by the trail as it grows (`operations_gone`) and kept outside the database; `operations_replay` does it, and only
-- then `operations_reopen` lets the gateways serve: they compare this epoch with one that is kept outside.

create table restore_state (
  single boolean primary key default true check (single),
  epoch int not null default 0 check (epoch >= 0)
);
insert into restore_state default values;

-- For gateways: the number of the latest change, which never becomes smaller but by a restore, and the epoch.
create function gateway_watch() returns table (latest bigint, epoch int)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select coalesce((select max(c.seq) from key_change c), 0), r.epoch from restore_state r
$$;
grant execute on function gateway_watch() to gateway;

-- What the rows of the trail after a number took away, as a few words each: ids, states and dates, nothing of a person.
create function operations_gone(p_after bigint, p_upto bigint) returns table (seq bigint, entry text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select a.seq, w.entry
  from audit_row a
  cross join lateral (select a.record::jsonb as r) p
  cross join lateral (select p.r ->> 'action' as action, p.r ->> 'target' as target, p.r -> 'after' as now_is) q
  cross join lateral (values
    (case when q.action = 'key.update' and q.now_is ->> 'state' = 'revoked' then 'key ' || q.target end),
    (case when q.action = 'key.update' and q.now_is ->> 'expires_at' is not null
      then 'expiry ' || q.target || ' ' || extract(epoch from (q.now_is ->> 'expires_at')::timestamptz)::bigint end),
    (case when q.action = 'byok.delete' then 'byok ' || q.target end),
    (case when q.action = 'byok.update' and (q.now_is ? 'digest' or q.now_is ->> 'state' = 'disabled')
      then 'byok-off ' || q.target end),
    (case when q.action = 'user.update' and q.now_is ->> 'state' in ('removed', 'erased')
      then 'user ' || q.target || ' ' || (q.now_is ->> 'state') end),
    (case when q.action = 'user.update' and q.now_is ? 'role' then 'role ' || q.target || ' ' || (q.now_is ->> 'role') end),
    (case when q.action = 'tenant.update' and q.now_is ? 'retention_days'
      then 'retention ' || q.target || ' ' || (q.now_is ->> 'retention_days') end),
    (case when q.action = 'tenant.update' and q.now_is ->> 'state' in ('frozen', 'closed')
      then 'tenant ' || q.target || ' ' || (q.now_is ->> 'state') end),
    (case when q.action = 'usage.purge'
      then 'purge ' || q.target || ' ' || ceil(extract(epoch from (q.now_is ->> 'cutoff')::timestamptz))::bigint end)
  ) w(entry)
  where a.seq > p_after and a.seq <= p_upto and w.entry is not null
  order by a.seq
$$;

-- Take one thing away again; false when there is more of it to do. Whatever is not there (any more) is done.
create function operations_replay(p_entry text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  word constant text[] := string_to_array(p_entry, ' ');
  upto timestamptz;
  kept int;
  gone bigint;
begin
  perform set_config('therouter.reason', 'restore', true);
  case word[1]
    when 'key' then
      update api_key set state = 'revoked', revoked_at = coalesce(revoked_at, now()) where key_id = word[2] and state <> 'revoked';
    when 'expiry' then
      update api_key set expires_at = to_timestamp(word[3]::bigint)
        where key_id = word[2] and (expires_at is null or expires_at > to_timestamp(word[3]::bigint));
    when 'byok' then
      delete from byok_key where record_id = word[2]::uuid;
    when 'byok-off' then
      update byok_key set state = 'disabled' where record_id = word[2]::uuid and state <> 'disabled';
    when 'user' then
      delete from person_session where user_id = word[2]::uuid;
      update app_user set state = word[3] where user_id = word[2]::uuid and state not in (word[3], 'erased');
      if word[3] = 'erased' then
        update app_user set email = 'erased-' || gen_random_uuid() || '@invalid', subject = ''
          where user_id = word[2]::uuid and email not like 'erased-%@invalid';
      end if;
    when 'role' then
      update app_user set role = word[3] where user_id = word[2]::uuid and role <> word[3];
    when 'retention' then
      update tenant set retention_days = word[3]::int where tenant_id = word[2]::uuid and retention_days <> word[3]::int;
    when 'tenant' then
      update tenant set state = word[3] where tenant_id = word[2]::uuid and state not in (word[3], 'closed');
    when 'purge' then
      upto := to_timestamp(word[3]::bigint);
      select t.retention_days into kept from tenant t where t.tenant_id = word[2]::uuid;
      if not found or upto > now() - interval '1 day' then
        return true;
      end if;
      -- Its retention may have become longer afterwards: what was purged before stays purged.
      if upto > now() - make_interval(days => kept) then
        update tenant set retention_days = greatest(1, floor(extract(epoch from now() - upto) / 86400)::int)
          where tenant_id = word[2]::uuid;
      end if;
      select u.requests into gone from usage_purge(word[2]::uuid, upto, 5000) u;
      update tenant set retention_days = kept where tenant_id = word[2]::uuid and retention_days <> kept;
      return gone < 5000;
    else
      raise exception using errcode = 'TR400', constraint = 'restore_entry_invalid', message = 'entry';
  end case;
  return true;
end $$;

create function operations_restore_epoch() returns int
language sql stable security definer set search_path = therouter, pg_temp as $$ select r.epoch from restore_state r $$;

-- Everything is taken away again: gateways may serve.
create function operations_reopen(p_epoch int, p_entries int) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update restore_state set epoch = p_epoch where epoch < p_epoch;
  if found then
    perform audit_append(null, 'restore.done', p_epoch::text, null, jsonb_build_object('entries', p_entries));
  end if;
end $$;
grant execute on function operations_gone(bigint, bigint), operations_replay(text), operations_restore_epoch(),
  operations_reopen(int, int) to operations;
