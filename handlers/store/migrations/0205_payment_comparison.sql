-- Which days were compared with the company's own list: a comparison that does not happen is a fault like one that differs.

create table payment_comparison (
  provider payment_provider not null,
  day date not null, -- UTC
  listed int not null check (listed >= 0),
  repaired int not null check (repaired >= 0),
  missing int not null check (missing >= 0),
  compared_at timestamptz not null default now(),
  primary key (provider, day)
);
alter table payment_comparison enable row level security;

create function payments_note_comparison(p_provider text, p_day date, p_listed int, p_repaired int, p_missing int) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  insert into payment_comparison as c (provider, day, listed, repaired, missing)
    values (p_provider, p_day, p_listed, p_repaired, p_missing)
    on conflict (provider, day) do update set listed = excluded.listed, repaired = c.repaired + excluded.repaired,
      missing = excluded.missing, compared_at = now()
$$;

-- Days (UTC) up to one on which something was paid and which nobody has compared, the oldest first.
create function payments_uncompared_days(p_provider text, p_until date) returns setof date
language sql stable security definer set search_path = therouter, pg_temp as $$
  select distinct (o.paid_at at time zone 'utc')::date as day from payment_order o
  where o.provider = p_provider and o.paid_at > now() - interval '40 days' and (o.paid_at at time zone 'utc')::date <= p_until
    and not exists (select from payment_comparison c
      where c.provider = o.provider and c.day = (o.paid_at at time zone 'utc')::date)
  order by day limit 40
$$;
grant execute on function payments_note_comparison(text, date, int, int, int), payments_uncompared_days(text, date) to payments;
