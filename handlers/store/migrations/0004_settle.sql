-- Settling: from the gateway's spool lines to usage rows, entries, sums and balances, any number of times with one effect.
--
-- settle_batch  does a whole batch set by set, and raises when any row cannot be read or breaks a constraint.
-- usage_settle  calls it; when it raises for a row's sake, row by row instead, so that a bad row costs only itself.
-- Everything else (deadlock, time-out, full disk) is raised to the caller, who sends the same batch again.

-- One line of the spool. Fields that are left out are null here and get their defaults below.
create type usage_line as (
  request_id uuid, tenant_id uuid, user_id uuid, key_id text, model text, provider text,
  prompt_tokens bigint, completion_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
  reasoning_tokens bigint, cost_nano bigint, latency_ms int, first_event_ms int, http_status int, error_type text,
  stream boolean, estimated boolean, credential text, attempts int, price_version text, final boolean, lease_id uuid
);

-- outcome: ok | exists | upgraded | rejected; reason: empty, or why it was rejected.
create type settled as (request_id text, outcome text, reason text);

create function settle_batch(p_rows json) returns setof settled
language plpgsql set search_path = therouter, pg_temp as $$
declare
  lines usage_line[];
begin
  select array_agg(l) into lines from json_populate_recordset(null::usage_line, p_rows) l;
  perform from account where tenant_id in (select l.tenant_id from unnest(lines) l) order by tenant_id for no key update;
  return query
  with input as materialized (
    select distinct on (l.request_id) l.*, uuid7_at(l.request_id) as ts, coalesce(l.final, true) as is_final
    from unnest(lines) with ordinality l order by l.request_id, coalesce(l.final, true) desc, l.ordinality
  ),
  judged as materialized (
    select i.*, e.tenant_id is not null as known, e.final as old_final, e.user_id as old_user_id, e.key_id as old_key_id,
      e.model as old_model, e.provider as old_provider, e.prompt_tokens as old_prompt_tokens,
      e.completion_tokens as old_completion_tokens, e.cache_read_tokens as old_cache_read_tokens,
      e.cache_write_tokens as old_cache_write_tokens, e.reasoning_tokens as old_reasoning_tokens,
      coalesce(e.cost_nano, 0) as old_cost_nano,
      case
        when i.ts is null then 'bad_request_id'
        when i.ts not between timestamptz '2020-01-01Z' and now() + interval '1 day' then 'bad_time'
        when a.tenant_id is null then 'unknown_tenant'
        when e.tenant_id <> i.tenant_id then 'other_tenant'
        else ''
      end as reason
    from input i
    left join account a on a.tenant_id = i.tenant_id
    left join usage_event e on e.ts = i.ts and e.request_id = i.request_id
  ),
  inserted as (
    insert into usage_event (
      ts, request_id, tenant_id, user_id, key_id, model, provider, prompt_tokens, completion_tokens, cache_read_tokens,
      cache_write_tokens, reasoning_tokens, cost_nano, latency_ms, first_event_ms, http_status, error_type, stream,
      estimated, credential, attempts, price_version, final)
    select ts, j.request_id, tenant_id, user_id, key_id, model, provider, prompt_tokens, completion_tokens,
      coalesce(cache_read_tokens, 0), coalesce(cache_write_tokens, 0), coalesce(reasoning_tokens, 0), cost_nano, latency_ms,
      first_event_ms, http_status, coalesce(error_type, ''), coalesce(stream, false), coalesce(estimated, false),
      coalesce(credential, 'shared'), coalesce(attempts, 1), coalesce(price_version, ''), is_final
    from judged j where j.reason = '' and not known
    on conflict do nothing
    returning usage_event.request_id
  ),
  upgraded as (
    update usage_event e set
      user_id = j.user_id, key_id = j.key_id, model = j.model, provider = j.provider, prompt_tokens = j.prompt_tokens,
      completion_tokens = j.completion_tokens, cache_read_tokens = coalesce(j.cache_read_tokens, 0),
      cache_write_tokens = coalesce(j.cache_write_tokens, 0), reasoning_tokens = coalesce(j.reasoning_tokens, 0),
      cost_nano = j.cost_nano, latency_ms = j.latency_ms, first_event_ms = j.first_event_ms, http_status = j.http_status,
      error_type = coalesce(j.error_type, ''), stream = coalesce(j.stream, false), estimated = coalesce(j.estimated, false),
      credential = coalesce(j.credential, 'shared'), attempts = coalesce(j.attempts, 1),
      price_version = coalesce(j.price_version, ''), final = true
    from judged j
    where j.reason = '' and j.known and not j.old_final and j.is_final and e.ts = j.ts and e.request_id = j.request_id
    returning e.request_id
  ),
  effective as materialized (
    select j.*, 'ok' as outcome, j.cost_nano as difference_nano from judged j join inserted using (request_id)
    union all
    select j.*, 'upgraded', j.cost_nano - j.old_cost_nano from judged j join upgraded using (request_id)
  ),
  posted as (
    insert into entry (txn_key, tenant_id, system_account, amount_nano, kind)
    select case f.outcome when 'ok' then 'use:' else 'fix:' end || f.request_id, side.tenant_id, side.other, side.amount_nano,
      case f.outcome when 'ok' then 'usage' else 'correction' end
    from effective f cross join lateral (values
      (f.tenant_id, null::system_account, -f.difference_nano),
      (null::uuid, 'revenue', f.difference_nano)) side(tenant_id, other, amount_nano)
    where f.difference_nano <> 0
  ),
  summed as (
    insert into usage_rollup as r
    select d.tenant_id, d.day, d.user_id, d.key_id, d.model, d.provider, sum(d.requests), sum(d.prompt), sum(d.completion),
      sum(d.cache_read), sum(d.cache_write), sum(d.reasoning), sum(d.cost)
    from (
      select tenant_id, (ts at time zone 'utc')::date as day, user_id, key_id, model, provider, 1 as requests,
        prompt_tokens as prompt, completion_tokens as completion, coalesce(cache_read_tokens, 0) as cache_read,
        coalesce(cache_write_tokens, 0) as cache_write, coalesce(reasoning_tokens, 0) as reasoning, cost_nano as cost
      from effective
      union all
      select tenant_id, (ts at time zone 'utc')::date, old_user_id, old_key_id, old_model, old_provider, -1,
        -old_prompt_tokens, -old_completion_tokens, -old_cache_read_tokens, -old_cache_write_tokens, -old_reasoning_tokens,
        -old_cost_nano
      from effective where outcome = 'upgraded'
    ) d
    group by 1, 2, 3, 4, 5, 6
    on conflict (tenant_id, day, key_id, user_id, model, provider) do update set
      requests = r.requests + excluded.requests, prompt_tokens = r.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = r.completion_tokens + excluded.completion_tokens,
      cache_read_tokens = r.cache_read_tokens + excluded.cache_read_tokens,
      cache_write_tokens = r.cache_write_tokens + excluded.cache_write_tokens,
      reasoning_tokens = r.reasoning_tokens + excluded.reasoning_tokens, cost_nano = r.cost_nano + excluded.cost_nano
  ),
  leased as (
    update lease l set amount_nano = l.amount_nano - s.used_nano
    from (
      select o.lease_id, o.tenant_id, least(o.amount_nano, sum(f.difference_nano))::bigint as used_nano
      from effective f join lease o on o.lease_id = f.lease_id and o.tenant_id = f.tenant_id
      group by o.lease_id having sum(f.difference_nano) > 0
    ) s
    where l.lease_id = s.lease_id
    returning s.tenant_id, s.used_nano
  ),
  charged as (
    update account a set balance_nano = a.balance_nano - c.cost_nano, held_nano = a.held_nano - c.used_nano
    from (
      select m.tenant_id, sum(m.cost_nano)::bigint as cost_nano, sum(m.used_nano)::bigint as used_nano
      from (
        select f.tenant_id, f.difference_nano as cost_nano, 0 as used_nano from effective f
        union all
        select tenant_id, 0, used_nano from leased
      ) m group by m.tenant_id
    ) c
    where a.tenant_id = c.tenant_id and (c.cost_nano <> 0 or c.used_nano <> 0)
  ),
  touched as (
    update api_key k set last_used_day = u.day
    from (select f.key_id, max(f.ts at time zone 'utc')::date as day from effective f group by f.key_id) u
    where k.key_id = u.key_id and (k.last_used_day is null or k.last_used_day < u.day)
  )
  select j.request_id::text, case when j.reason <> '' then 'rejected' else coalesce(f.outcome, 'exists') end, j.reason
  from judged j left join effective f using (request_id);
end $$;

create function usage_settle(p_rows json) returns setof settled
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  line json;
begin
  begin
    return query select * from settle_batch(p_rows);
    return;
  exception when data_exception or integrity_constraint_violation then
    null;
  end;
  for line in select * from json_array_elements(p_rows) loop
    begin
      return query select * from settle_batch(json_build_array(line));
    exception when data_exception or integrity_constraint_violation then
      return query select left(line ->> 'request_id', 36), 'rejected', sqlstate;
    end;
  end loop;
end $$;
grant execute on function usage_settle(json) to gateway;
