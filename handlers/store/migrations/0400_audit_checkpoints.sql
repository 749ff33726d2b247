-- Checkpoints: what the audit trail was, signed. A checkpoint says the trail's size and the root of its Merkle tree (RFC 6962)
-- as a signed note (C2SP); who holds one can tell when any row before it was changed. `frontier` are the roots of the full
-- subtrees from left to right, so that the next checkpoint reads only the leaves after this one.

create table audit_checkpoint (
  size bigint primary key check (size > 0),
  note text not null check (octet_length(note) <= 4096),
  verifier varchar(256) not null, -- the public key, in the form of a C2SP verifier key
  frontier bytea not null check (octet_length(frontier) % 32 = 0),
  at timestamptz not null default now()
);
alter table audit_checkpoint enable row level security;
create trigger checkpoint_append_only before update or delete on audit_checkpoint
  for each row execute function refuse_audit_rewriting();
create trigger checkpoint_no_truncate before truncate on audit_checkpoint
  for each statement execute function refuse_audit_rewriting();

create function operations_last_checkpoint() returns table (size bigint, note text, frontier bytea)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select c.size, c.note, c.frontier from audit_checkpoint c order by c.size desc limit 1
$$;

create function operations_audit_leaves(p_after bigint, p_limit int) returns table (seq bigint, leaf bytea, chain bytea)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select r.seq, r.leaf, r.chain from audit_row r where r.seq > p_after order by r.seq limit p_limit
$$;

-- False: another process made this checkpoint first. The rows that it covers must exist.
create function operations_seal_audit(p_size bigint, p_note text, p_verifier text, p_frontier bytea) returns boolean
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform from audit_row r where r.seq = p_size;
  if not found then
    raise exception using errcode = 'TR409', constraint = 'checkpoint_beyond_trail', message = 'size';
  end if;
  insert into audit_checkpoint (size, note, verifier, frontier) values (p_size, p_note, p_verifier, p_frontier) on conflict do nothing;
  return found;
end $$;

grant execute on function operations_last_checkpoint(), operations_audit_leaves(bigint, int),
  operations_seal_audit(bigint, text, text, bytea) to operations;

-- The checkpoints of sizes from p_from on, for exports.
create function control_checkpoints(p_caller jsonb, p_from bigint) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'audit:read');
  return (select coalesce(jsonb_agg(jsonb_build_object('size', c.size, 'note', c.note, 'verifier', c.verifier) order by c.size), '[]')::text
    from audit_checkpoint c where c.size >= p_from);
end $$;
grant execute on function control_checkpoints(jsonb, bigint) to admin;
