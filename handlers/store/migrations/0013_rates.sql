-- Rate limits that hold across replicas. A window is 60 seconds in slots of one second of this database's clock; what is granted
-- is counted when it is granted, under a lock of its key, so the replicas together never pass a limit.

create unlogged table rate_slot ( -- after a crash of the database every window starts empty
  key_id text not null,
  kind text not null check (kind in ('requests', 'tokens')),
  second bigint not null,
  used bigint not null,
  primary key (key_id, kind, second)
);
alter table rate_slot enable row level security;

-- Take `p_need` of a key's limit per minute, or up to `p_want` where there is room. Granted 0: wait so many seconds.
create function rate_take(
  p_key text, p_kind text, p_need bigint, p_want bigint, p_limit bigint,
  out granted bigint, out remaining bigint, out wait_s int
) language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  this_second bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_kind || ':' || p_key, 0));
  this_second := floor(extract(epoch from clock_timestamp()));
  delete from rate_slot r where r.key_id = p_key and r.kind = p_kind and r.second < this_second - 60;
  select p_limit - coalesce(sum(r.used), 0) into remaining from rate_slot r where r.key_id = p_key and r.kind = p_kind;
  if remaining < p_need then
    granted := 0;
    select coalesce(min(s.second) + 61 - this_second, 61)::int into wait_s from (
      select r.second, sum(r.used) over (order by r.second) as freed
      from rate_slot r where r.key_id = p_key and r.kind = p_kind
    ) s where s.freed >= p_need - remaining;
    remaining := greatest(remaining, 0);
    return;
  end if;
  granted := least(greatest(p_want, p_need), remaining);
  remaining := remaining - granted;
  wait_s := 0;
  insert into rate_slot as r values (p_key, p_kind, this_second, granted)
    on conflict (key_id, kind, second) do update set used = r.used + excluded.used;
end $$;
grant execute on function rate_take(text, text, bigint, bigint, bigint) to gateway;

-- Correct what was taken by an estimate: the difference, which may be negative, counts now.
create function rate_correct(p_key text, p_kind text, p_difference bigint) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(p_kind || ':' || p_key, 0));
  insert into rate_slot as r values (p_key, p_kind, floor(extract(epoch from clock_timestamp())), p_difference)
    on conflict (key_id, kind, second) do update set used = r.used + excluded.used;
end $$;
grant execute on function rate_correct(text, text, bigint) to gateway;
