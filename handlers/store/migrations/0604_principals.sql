-- The gateway's row of a key (`gateway_key`), and what its tenant pays for the use of its own provider keys, in one call.

revoke execute on function gateway_byok_fee(uuid) from gateway, admin;

create function gateway_principal(p_key_id text) returns table (
  key_id text, hash text, state text, expires_at bigint, tenant_id uuid, user_id uuid, limits text, account_state text,
  retention_days int, byok_mode text, data_policy text, markup_ppm int, byok_fee_ppm int
) language sql stable security definer set search_path = therouter, pg_temp set enable_seqscan = off as $$
  select k.key_id, k.hash, k.state, k.expires_at, k.tenant_id, k.user_id, k.limits, k.account_state, k.retention_days,
    k.byok_mode, k.data_policy, k.markup_ppm, gateway_byok_fee(k.tenant_id)
  from gateway_key(p_key_id) k
$$;
grant execute on function gateway_principal(text) to gateway, admin;
