-- Live figures of endpoints, summed over all gateways: counts only. A distribution is 64 counts whose meaning is the
-- gateway's (handlers/gateway/figures.py). Minutes serve the windows of 5 and 30 minutes, hours the one of a day.

create table endpoint_minute (
  endpoint text not null check (length(endpoint) between 1 and 300),
  minute timestamptz not null,
  succeeded int not null,
  failed int not null,
  first_event int[] not null,
  rate int[] not null,
  primary key (endpoint, minute)
);
create index on endpoint_minute (minute);

create table endpoint_hour (
  endpoint text not null check (length(endpoint) between 1 and 300),
  hour timestamptz not null,
  succeeded bigint not null,
  failed bigint not null,
  primary key (endpoint, hour)
);
create index on endpoint_hour (hour);

create function counts_added(a int[], b int[]) returns int[]
language sql immutable set search_path = therouter, pg_temp as $$
  select array_agg(coalesce(x, 0) + coalesce(y, 0) order by i) from unnest(a, b) with ordinality as u (x, y, i)
$$;

-- Add what one gateway has counted to this minute and this hour; rows that no window needs any more leave.
create function figures_add(p_rows json) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  -- In one order, so that two gateways wait for one another instead of dying.
  insert into endpoint_minute
    select r.endpoint, date_trunc('minute', now()), r.succeeded, r.failed, r.first_event, r.rate
    from json_to_recordset(p_rows) as r (endpoint text, succeeded int, failed int, first_event int[], rate int[])
    order by r.endpoint
  on conflict (endpoint, minute) do update set
    succeeded = endpoint_minute.succeeded + excluded.succeeded, failed = endpoint_minute.failed + excluded.failed,
    first_event = counts_added(endpoint_minute.first_event, excluded.first_event), rate = counts_added(endpoint_minute.rate, excluded.rate);
  insert into endpoint_hour
    select r.endpoint, date_trunc('hour', now()), r.succeeded, r.failed
    from json_to_recordset(p_rows) as r (endpoint text, succeeded int, failed int)
    order by r.endpoint
  on conflict (endpoint, hour) do update set
    succeeded = endpoint_hour.succeeded + excluded.succeeded, failed = endpoint_hour.failed + excluded.failed;
  delete from endpoint_minute where minute < now() - interval '40 minutes';
  delete from endpoint_hour where hour < now() - interval '26 hours';
end $$;
grant execute on function figures_add(json) to gateway;

-- One row for each endpoint that was tried within a day. Distributions are empty when nothing was measured.
create function figures_read() returns table (
  endpoint text, succeeded_5m bigint, failed_5m bigint, first_event_5m int[], rate_5m int[],
  succeeded_30m bigint, failed_30m bigint, first_event_30m int[], rate_30m int[], succeeded_day bigint, failed_day bigint
) language sql stable security definer set search_path = therouter, pg_temp as $$
  with recent as (
    select m.*, m.minute > now() - interval '5 minutes' as is_new
    from endpoint_minute m where m.minute > now() - interval '30 minutes'
  ), sums as (
    select r.endpoint,
      sum(r.succeeded) filter (where is_new) as succeeded_5m, sum(r.failed) filter (where is_new) as failed_5m,
      sum(r.succeeded) as succeeded_30m, sum(r.failed) as failed_30m
    from recent r group by r.endpoint
  ), slots as (
    select r.endpoint, u.i, sum(u.x) filter (where is_new) as x_5m, sum(u.y) filter (where is_new) as y_5m,
      sum(u.x) as x_30m, sum(u.y) as y_30m
    from recent r cross join lateral unnest(r.first_event, r.rate) with ordinality as u (x, y, i)
    group by r.endpoint, u.i
  ), distributions as (
    select s.endpoint, array_agg(coalesce(x_5m, 0)::int order by i) as x_5m, array_agg(coalesce(y_5m, 0)::int order by i) as y_5m,
      array_agg(x_30m::int order by i) as x_30m, array_agg(y_30m::int order by i) as y_30m
    from slots s group by s.endpoint
  ), days as (
    select h.endpoint, sum(h.succeeded)::bigint as succeeded, sum(h.failed)::bigint as failed
    from endpoint_hour h where h.hour > now() - interval '24 hours' group by h.endpoint
  )
  select d.endpoint, coalesce(s.succeeded_5m, 0), coalesce(s.failed_5m, 0), coalesce(x.x_5m, '{}'), coalesce(x.y_5m, '{}'),
    coalesce(s.succeeded_30m, 0), coalesce(s.failed_30m, 0), coalesce(x.x_30m, '{}'), coalesce(x.y_30m, '{}'),
    d.succeeded, d.failed
  from days d left join sums s using (endpoint) left join distributions x using (endpoint)
$$;
grant execute on function figures_read() to gateway;
