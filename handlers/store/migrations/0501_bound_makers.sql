-- Which credential made encrypted reasoning and signatures, for a day, so that every gateway sends them back to it and to no
-- other. What is kept is a digest under a key that the database does not have, of something that no one but the provider can
-- read: nothing of the material, and nothing that leads to an account.

create table bound_maker (
  digest bytea primary key check (octet_length(digest) = 16),
  provider text not null check (length(provider) between 1 and 63),
  credential text not null check (length(credential) between 1 and 64),
  expires_at timestamptz not null
);
create index bound_maker_age on bound_maker (expires_at);

-- Keep what one gateway has seen; of what has expired some leaves each time, and more than comes.
create function bound_makers_note(p_rows json) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  -- In one order, so that two gateways wait for one another instead of dying.
  insert into bound_maker
    select decode(r.digest, 'hex'), r.provider, r.credential, now() + interval '1 day'
    from json_to_recordset(p_rows) as r (digest text, provider text, credential text)
    order by r.digest
  on conflict (digest) do update set
    provider = excluded.provider, credential = excluded.credential, expires_at = excluded.expires_at;
  delete from bound_maker m where m.ctid = any (array(
    select o.ctid from bound_maker o where o.expires_at < now() limit 2 * json_array_length(p_rows) + 10
    for update skip locked));
end $$;
grant execute on function bound_makers_note(json) to gateway;

create function bound_makers_find(p_digests json) returns table (digest text, provider text, credential text)
language sql stable security definer set search_path = therouter, pg_temp as $$
  select encode(m.digest, 'hex'), m.provider, m.credential
  from bound_maker m
  where m.digest = any (array(select decode(d, 'hex') from json_array_elements_text(p_digests) as d))
    and m.expires_at > now()
$$;
grant execute on function bound_makers_find(json) to gateway;
