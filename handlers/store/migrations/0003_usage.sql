-- What was used: one row per request, partitioned by day; and its sums, which outlive the rows.

-- The moment inside a UUIDv7, in its own milliseconds; null for any other UUID.
create function uuid7_at(p_id uuid) returns timestamptz
language sql immutable strict parallel safe set search_path = therouter, pg_temp as $$
  select case when substr(p_id::text, 15, 1) = '7' then
    timestamptz 'epoch' + ('x' || substr(replace(p_id::text, '-', ''), 1, 12))::bit(48)::bigint * interval '1 millisecond'
  end
$$;

-- `ts` is always uuid7_at(request_id), so that (ts, request_id) is unique exactly when request_id is: the row is the
-- once-only token of its request, in whatever partition.
create table usage_event (
  ts timestamptz not null,
  request_id uuid not null,
  tenant_id uuid not null,
  user_id uuid not null,
  key_id varchar(16) not null,
  model slug not null,
  provider slug not null,
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  completion_tokens bigint not null check (completion_tokens >= 0),
  cache_read_tokens bigint not null check (cache_read_tokens >= 0),
  cache_write_tokens bigint not null check (cache_write_tokens >= 0),
  reasoning_tokens bigint not null check (reasoning_tokens >= 0),
  cost_nano bigint not null check (cost_nano >= 0),
  latency_ms int not null check (latency_ms >= 0),
  first_event_ms int check (first_event_ms >= 0),
  http_status smallint not null check (http_status between 100 and 599),
  error_type varchar(64) not null check (error_type ~ '^[a-z0-9_]*$'),
  stream boolean not null,
  estimated boolean not null,
  credential varchar(8) not null check (credential in ('shared', 'byok')),
  attempts smallint not null check (attempts >= 0),
  price_version slug not null,
  final boolean not null,
  primary key (ts, request_id),
  check (ts = uuid7_at(request_id))
) partition by range (ts);
create table usage_event_default partition of usage_event default;
create index usage_event_tenant on usage_event (tenant_id, ts desc);

-- Sums per day (UTC), kept up to date by every settle.
create table usage_rollup (
  tenant_id uuid not null,
  day date not null,
  user_id uuid not null,
  key_id varchar(16) not null,
  model slug not null,
  provider slug not null,
  requests bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cache_read_tokens bigint not null,
  cache_write_tokens bigint not null,
  reasoning_tokens bigint not null,
  cost_nano bigint not null,
  primary key (tenant_id, day, key_id, user_id, model, provider)
);

-- What the purge removed: usage_event + usage_purged = usage_rollup, always.
create table usage_purged (
  tenant_id uuid not null,
  day date not null,
  requests bigint not null,
  cost_nano bigint not null,
  primary key (tenant_id, day)
);

-- Make the partitions of the coming days; rows that fell into the default partition meanwhile move to where they belong.
create function operations_create_partitions(p_days_ahead int default 14) returns int
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  day date;
  name text;
  made int := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('therouter.partitions', 0));
  for day in
    select d::date from generate_series(
      (now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + p_days_ahead, interval '1 day') d
  loop
    name := 'usage_event_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass(name) is not null;
    execute format('create table %I (like usage_event including defaults including constraints)', name);
    execute format('alter table %I enable row level security', name);
    execute format(
      'with moved as (delete from usage_event_default where ts >= %1$L and ts < %2$L returning *) insert into %3$I select * from moved',
      day::timestamp at time zone 'utc', (day + 1)::timestamp at time zone 'utc', name);
    execute format(
      'alter table usage_event attach partition %I for values from (%L) to (%L)',
      name, day::timestamp at time zone 'utc', (day + 1)::timestamp at time zone 'utc');
    made := made + 1;
  end loop;
  return made;
end $$;
grant execute on function operations_create_partitions(int) to operations;
select operations_create_partitions();
