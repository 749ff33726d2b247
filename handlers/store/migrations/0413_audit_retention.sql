-- The audit trail is kept for two years. Then rows end at a checkpoint: its signed note, its tree and the chain at its last row stand
-- for everything up to there, and what follows is verified from there on. That the beginning was moved is a row of the trail itself.
--
-- Nobody can shorten the trail otherwise: the triggers let go only what lies before the beginning, and let the beginning move only
-- to a checkpoint all of whose rows are old enough.

create function audit_kept() returns interval
language sql immutable set search_path = therouter, pg_temp as $$ select interval '730 days' $$;

create table audit_beginning (
  single boolean primary key default true check (single),
  size bigint not null default 0 check (size >= 0), -- rows up to this one are gone, or are going
  chain bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(chain) = 32) -- at that row
);
insert into audit_beginning default values;
alter table audit_beginning enable row level security;

create function guard_audit_beginning() returns trigger
language plpgsql set search_path = therouter, pg_temp as $$
begin
  perform from audit_row r join audit_checkpoint c on c.size = r.seq where r.seq = new.size and r.chain = new.chain;
  if not found or new.size <= old.size
    or exists (select from audit_row r where r.seq <= new.size and r.at >= now() - audit_kept()) then
    raise exception using errcode = 'TR409', constraint = 'append_only', message = 'append only';
  end if;
  return new;
end $$;
create trigger audit_beginning_moves before update on audit_beginning for each row execute function guard_audit_beginning();
create trigger audit_beginning_stays before insert or delete on audit_beginning
  for each row execute function refuse_audit_rewriting();
create trigger audit_beginning_no_truncate before truncate on audit_beginning
  for each statement execute function refuse_audit_rewriting();

create function guard_audit_row() returns trigger language plpgsql set search_path = therouter, pg_temp as $$
begin
  if old.at < now() - audit_kept() and old.seq <= (select b.size from audit_beginning b) then
    return old;
  end if;
  raise exception using errcode = 'TR409', constraint = 'append_only', message = 'append only';
end $$;
create function guard_audit_checkpoint() returns trigger language plpgsql set search_path = therouter, pg_temp as $$
begin
  if old.size < (select b.size from audit_beginning b) then
    return old;
  end if;
  raise exception using errcode = 'TR409', constraint = 'append_only', message = 'append only';
end $$;
drop trigger audit_append_only on audit_row;
create trigger audit_append_only before update on audit_row for each row execute function refuse_audit_rewriting();
create trigger audit_ends before delete on audit_row for each row execute function guard_audit_row();
drop trigger checkpoint_append_only on audit_checkpoint;
create trigger checkpoint_append_only before update on audit_checkpoint for each row execute function refuse_audit_rewriting();
create trigger checkpoint_ends before delete on audit_checkpoint for each row execute function guard_audit_checkpoint();

-- Where the trail begins, and the checkpoint that stands for what was before; no row while nothing has gone.
create function operations_audit_beginning() returns table (size bigint, note text, frontier bytea, verifier text, chain bytea)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select b.size, c.note, c.frontier, c.verifier::text, b.chain from audit_beginning b join audit_checkpoint c using (size)
$$;

-- The last checkpoint whose rows are all older than so many days, if it lies behind the beginning.
create function operations_audit_ending(p_days int) returns table (size bigint, note text, frontier bytea, verifier text, chain bytea)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select c.size, c.note, c.frontier, c.verifier::text, r.chain
  from audit_checkpoint c join audit_row r on r.seq = c.size
  where c.size > (select b.size from audit_beginning b)
    and c.size < coalesce((select min(a.seq) from audit_row a where a.at >= now() - make_interval(days => p_days)), c.size + 1)
  order by c.size desc limit 1
$$;

-- The trail begins after this checkpoint from now on.
create function operations_begin_audit(p_size bigint) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  before bigint;
begin
  select b.size into before from audit_beginning b for update;
  if before >= p_size then
    return;
  end if;
  update audit_beginning b set size = p_size, chain = (select r.chain from audit_row r where r.seq = p_size);
  perform audit_append(null, 'audit.begin', p_size::text,
    jsonb_build_object('size', before), jsonb_build_object('size', p_size, 'rows', p_size - before));
end $$;

-- Remove a batch of what lies before the beginning; any number of times.
create function operations_end_audit(p_limit int) returns bigint
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  begins constant bigint := (select b.size from audit_beginning b);
  gone bigint;
begin
  delete from audit_row r where r.seq in (select a.seq from audit_row a where a.seq <= begins order by a.seq limit p_limit);
  get diagnostics gone = row_count;
  if gone < p_limit then
    delete from audit_checkpoint c where c.size < begins;
  end if;
  return gone;
end $$;

-- As in 0400, and whose key it is.
drop function operations_last_checkpoint();
create function operations_last_checkpoint() returns table (size bigint, note text, frontier bytea, verifier text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select c.size, c.note, c.frontier, c.verifier::text from audit_checkpoint c order by c.size desc limit 1
$$;
grant execute on function operations_last_checkpoint(), operations_audit_beginning(), operations_audit_ending(int),
  operations_begin_audit(bigint), operations_end_audit(int) to operations;

-- As in 0304, from the beginning on.
create or replace function control_audit(p_caller jsonb, p_after bigint, p_limit int, p_all boolean) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'audit:read');
  begins constant bigint := (select b.size from audit_beginning b);
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'seq', s.seq, 'record', case when s.tenant_id = mine then s.record end,
        'leaf', encode(s.leaf, 'hex'), 'chain', encode(s.chain, 'hex')) order by s.seq), '[]')::text
    from (
      select * from audit_row r where r.seq > greatest(p_after, begins) and (p_all or r.tenant_id = mine)
        order by r.seq limit p_limit
    ) s);
end $$;

-- What an export begins with: the changes of key, and the checkpoint that stands for rows that are gone.
create table audit_succession (
  number int primary key check (number > 0),
  before varchar(256) not null unique, -- public keys, in the form of C2SP verifier keys
  after varchar(256) not null unique,
  note text not null check (octet_length(note) <= 4096)
);
alter table audit_succession enable row level security;

create function control_audit_beginning(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'audit:read');
  return jsonb_build_object(
    'successions', (select coalesce(jsonb_agg(jsonb_build_object('before', s.before, 'after', s.after, 'note', s.note)
      order by s.number), '[]') from audit_succession s),
    'beginning', (select jsonb_build_object('size', b.size, 'chain', encode(b.chain, 'hex'), 'frontier', encode(c.frontier, 'hex'),
      'note', c.note, 'verifier', c.verifier) from audit_beginning b join audit_checkpoint c using (size)))::text;
end $$;
grant execute on function control_audit_beginning(jsonb) to admin;
