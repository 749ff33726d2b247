-- name: admin_create_tenant
select therouter.admin_create_tenant(:tenant, :name)

-- name: admin_create_user
select therouter.admin_create_user(:user, :tenant, :email, :role)

-- name: admin_create_key
select therouter.admin_create_key(:key_id, :tenant, :user, :name, :hash, :limits, :expires_at)

-- name: admin_first_management_key
select therouter.admin_first_management_key(:key_id, :tenant, :user, :name, :hash)

-- name: admin_revoke_key
select therouter.admin_revoke_key(:tenant, :key_id)

-- name: admin_list_keys
select * from therouter.admin_list_keys(:tenant)

-- name: admin_list_tenants
select * from therouter.admin_list_tenants()

-- name: usage_recent
-- timeout_ms: 10000
select * from therouter.usage_recent(:tenant, :limit, :since)

-- name: credit_grant_until
select therouter.credit_grant_until(:key, :tenant, :amount_nano, :reason, :expires_at)

-- name: credit_list
select * from therouter.credit_list(:tenant, :limit)

-- name: admin_set_spending
select therouter.admin_set_spending(:tenant, :unusual_factor, :unusual_floor_nano, :low_balance_nano, :byok_fee_ppm)

-- name: admin_confirm_key
select therouter.admin_confirm_key(:tenant, :key_id)

-- name: credit_adjust
select therouter.credit_adjust(:key, :tenant, :amount_nano, :reason)

-- name: alert_list
select * from therouter.alert_list(:tenant, :limit)

-- name: ledger_check
-- timeout_ms: 300000
select * from therouter.ledger_check()
