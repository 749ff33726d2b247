-- Idempotency keys of clients: a request that is repeated is served once. What is kept are two digests under the client's own API
-- key, which we do not have: neither the idempotency key nor the body can be guessed from them. Nothing is kept of the answer.

create table request_claim (
  tenant_id uuid not null references tenant,
  claim bytea not null check (octet_length(claim) = 32),
  body bytea not null check (octet_length(body) = 32),
  request_id uuid not null,
  claimed_at timestamptz not null default now(),
  primary key (tenant_id, claim)
);
create index request_claim_age on request_claim (claimed_at);
alter table request_claim enable row level security;
create policy own_rows on request_claim using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid);

-- Claim a request. Outcome: new | in_progress | completed | other_body, with the id of the request that has the claim. A claim is
-- free again after a day, when its request failed, and when nothing was heard of it for an hour.
create function request_claim_take(
  p_tenant uuid, p_claim bytea, p_body bytea, p_request uuid, out outcome text, out request_id uuid
) language plpgsql security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
declare
  held request_claim;
  served int;
begin
  delete from request_claim c where c.ctid = any (array(
    select o.ctid from request_claim o where o.claimed_at < now() - interval '1 day' limit 10 for update skip locked));
  request_id := p_request;
  insert into request_claim as c (tenant_id, claim, body, request_id) values (p_tenant, p_claim, p_body, p_request)
    on conflict (tenant_id, claim) do nothing;
  if found then
    outcome := 'new';
    return;
  end if;
  select * into held from request_claim c where c.tenant_id = p_tenant and c.claim = p_claim for update;
  select e.http_status into served from usage_event e
    where e.ts = uuid7_at(held.request_id) and e.request_id = held.request_id and e.tenant_id = p_tenant;
  if held.claim is null or served >= 400 or (served is null and held.claimed_at < now() - interval '1 hour') then
    insert into request_claim as c (tenant_id, claim, body, request_id) values (p_tenant, p_claim, p_body, p_request)
      on conflict (tenant_id, claim) do update set body = excluded.body, request_id = excluded.request_id, claimed_at = now();
    outcome := 'new';
    return;
  end if;
  request_id := held.request_id;
  outcome := case
    when held.body <> p_body then 'other_body'
    when served is not null then 'completed'
    else 'in_progress' end;
end $$;
grant execute on function request_claim_take(uuid, bytea, bytea, uuid) to gateway;

-- The request was refused before anything was asked of a provider.
create function request_claim_drop(p_tenant uuid, p_claim bytea, p_request uuid) returns void
language sql security definer set search_path = therouter, pg_temp as $$
  delete from request_claim where tenant_id = p_tenant and claim = p_claim and request_id = p_request
$$;
grant execute on function request_claim_drop(uuid, bytea, uuid) to gateway;
