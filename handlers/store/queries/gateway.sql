-- name: gateway_key
select * from therouter.gateway_holder(:key_id)

-- name: gateway_changes
select * from therouter.gateway_changes(:since)

-- name: gateway_watch
select * from therouter.gateway_watch()

-- name: gateway_byok
select * from therouter.gateway_byok(:tenant, :provider)

-- name: gateway_byok_care
select * from therouter.gateway_byok_care(:limit)

-- name: gateway_byok_checked
select therouter.gateway_byok_checked(:record, :sealed, :verdict)

-- name: gateway_byok_resealed
select therouter.gateway_byok_resealed(:record, :before, :sealed)

-- name: credit_lease
select * from therouter.credit_lease(:lease, :tenant, :pod, :need_nano, :want_nano, :ttl_s)

-- name: credit_lease_for_key
select * from therouter.credit_lease_for_key(:lease, :tenant, :key_id, :pod, :need_nano, :want_nano, :ttl_s)

-- name: credit_renew
select therouter.credit_renew(:leases, :ttl_s)

-- name: credit_release
select therouter.credit_release(:lease, :keep_nano)

-- name: usage_settle
-- timeout_ms: 20000
select * from therouter.usage_settle(:rows)

-- name: usage_settle_rejects
-- timeout_ms: 20000
select * from therouter.usage_settle(:rows) where outcome = 'rejected'

-- name: usage_find
select * from therouter.usage_find(:tenant, :request)

-- name: key_summary
select * from therouter.key_summary(:key_id)

-- name: rate_admit
select * from therouter.rate_admit(:process, :ttl_s, :subjects, :kinds, :needs, :wants, :limits)

-- name: rate_settle
select therouter.rate_settle(:process, :places, :tokens, :difference)

-- name: place_renew
select therouter.place_renew(:process, :ttl_s)

-- name: request_claim_take
select * from therouter.request_claim_take(:tenant, :claim, :body, :request)

-- name: request_claim_drop
select therouter.request_claim_drop(:tenant, :claim, :request)

-- name: figures_add
-- timeout_ms: 10000
select therouter.figures_add(:rows)

-- name: bound_makers_note
select therouter.bound_makers_note(:rows)

-- name: bound_makers_find
-- timeout_ms: 500
select * from therouter.bound_makers_find(:digests)

-- name: figures_read
-- timeout_ms: 10000
select * from therouter.figures_read()
