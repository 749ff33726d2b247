-- The key that signs checkpoints is rotated: it hands over to the next with a note that both have signed, and a key that has handed
-- over signs nothing after the first checkpoint of its successor. Public keys and notes; no private key comes near the database.

create function operations_successions() returns table (before text, after text, note text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select s.before::text, s.after::text, s.note from audit_succession s order by s.number
$$;

-- One key hands over to another. Until the other has signed a checkpoint, a third may take its place. False: it is known.
create function operations_succeed(p_before text, p_after text, p_note text) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('therouter.audit.key', 0));
  perform from audit_succession s where s.before = p_before and s.after = p_after;
  if found then
    return false;
  end if;
  delete from audit_succession s where s.before = p_before
    and not exists (select from audit_checkpoint c where c.verifier = s.after);
  insert into audit_succession (number, before, after, note)
    select coalesce(max(s.number), 0) + 1, p_before, p_after, p_note from audit_succession s;
  perform audit_append(null, 'audit.key', p_after, jsonb_build_object('key', p_before), jsonb_build_object('key', p_after));
  return true;
end $$;

create or replace function operations_seal_audit(p_size bigint, p_note text, p_verifier text, p_frontier bytea) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from audit_row r where r.seq = p_size;
  if not found then
    raise exception using errcode = 'TR409', constraint = 'checkpoint_beyond_trail', message = 'size';
  end if;
  perform from audit_succession s join audit_checkpoint c on c.verifier = s.after where s.before = p_verifier;
  if found then
    raise exception using errcode = 'TR409', constraint = 'checkpoint_key_succeeded', message = 'verifier';
  end if;
  insert into audit_checkpoint (size, note, verifier, frontier) values (p_size, p_note, p_verifier, p_frontier) on conflict do nothing;
  return found;
end $$;
grant execute on function operations_successions(), operations_succeed(text, text, text) to operations;

-- For the rotation: the key that the one in use hands over to.
create function rotation_successor() returns text
language sql stable security definer set search_path = therouter, pg_temp as $$
  select s.after::text from audit_succession s order by s.number desc limit 1
$$;
grant execute on function rotation_successor() to rotation;
