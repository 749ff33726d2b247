-- name: control_principal
select therouter.control_principal(:caller)

-- name: control_tenant
select therouter.control_tenant(:caller)

-- name: control_change_tenant
select therouter.control_change_tenant(:caller, :name, :byok_mode, :data_policy)

-- name: control_retention
-- timeout_ms: 20000
select therouter.control_retention(:caller, :days)

-- name: control_set_retention
-- timeout_ms: 20000
select therouter.control_set_retention(:caller, :days, :confirm_rows)

-- name: control_users
select therouter.control_users(:caller)

-- name: control_user
select therouter.control_user(:caller, :user)

-- name: control_create_user
select therouter.control_create_user(:caller, :user, :email, :role)

-- name: control_change_user
select therouter.control_change_user(:caller, :user, :role)

-- name: control_remove_user
-- timeout_ms: 25000
select therouter.control_remove_user(:caller, :user, :erase)

-- name: control_keys
select therouter.control_keys(:caller, :offset, :limit)

-- name: control_key
select therouter.control_key(:caller, :key_id)

-- name: control_create_key
select therouter.control_create_key(:caller, :key_id, :hash, :name, :user, :limits, :expires_at, :role)

-- name: control_change_key
select therouter.control_change_key(:caller, :key_id, :change)

-- name: control_revoke_key
select therouter.control_revoke_key(:caller, :key_id)

-- name: control_rotate_key
select therouter.control_rotate_key(:caller, :key_id, :new_id, :hash, :overlap_s)

-- name: control_byok_records
select therouter.control_byok_records(:caller)

-- name: control_byok_record
select therouter.control_byok_record(:caller, :record)

-- name: control_create_byok
select therouter.control_create_byok(:caller, :record, :provider, :sealed, :key_version, :digest, :label, :scope)

-- name: control_change_byok
select therouter.control_change_byok(:caller, :record, :change)

-- name: control_delete_byok
select therouter.control_delete_byok(:caller, :record)

-- name: control_check_byok
select therouter.control_check_byok(:caller, :record)

-- name: control_budgets
select therouter.control_budgets(:caller)

-- name: control_set_budget
select therouter.control_set_budget(:caller, :user, :limit_nano, :period)

-- name: control_limits
select therouter.control_limits(:caller)

-- name: control_set_limits
select therouter.control_set_limits(:caller, :user, :requests, :tokens, :concurrent)

-- name: control_spending
select therouter.control_spending(:caller)

-- name: control_set_spending
select therouter.control_set_spending(:caller, :change)

-- name: control_alerts
select therouter.control_alerts(:caller, :limit)

-- name: control_confirm_key
select therouter.control_confirm_key(:caller, :key_id)

-- name: control_set_pricing
select therouter.control_set_pricing(:caller, :tenant, :markup_ppm, :byok_fee_ppm)

-- name: control_credits
select therouter.control_credits(:caller)

-- name: control_activity
-- timeout_ms: 20000
select therouter.control_activity(:caller, :from, :to, :by, :key_id, :user, :model)

-- name: control_usage
-- timeout_ms: 20000
select therouter.control_usage(:caller, :after_ts, :after_id, :limit)

-- name: control_generation
select therouter.control_generation(:caller, :request)

-- name: control_audit
-- timeout_ms: 20000
select therouter.control_audit(:caller, :after, :limit, :all)

-- name: control_export
-- timeout_ms: 25000
select therouter.control_export(:caller)

-- name: control_close_account
-- timeout_ms: 25000
select therouter.control_close_account(:caller, :name)

-- name: control_tenants
select therouter.control_tenants(:caller)

-- name: control_inspect_tenant
select therouter.control_inspect_tenant(:caller, :tenant)

-- name: control_create_tenant
select therouter.control_create_tenant(:caller, :tenant, :name, :user, :email)

-- name: control_set_tenant_state
select therouter.control_set_tenant_state(:caller, :tenant, :state)

-- name: control_audit_beginning
select therouter.control_audit_beginning(:caller)

-- name: control_checkpoints
select therouter.control_checkpoints(:caller, :from_size, :upto)

-- name: admin_sign_in
select therouter.admin_sign_in(:session_id, :subject, :email, :tenant, :role, :life_s, :proved_at)

-- name: admin_sign_out
select therouter.admin_sign_out(:session_id)

-- name: admin_key_leaked
select therouter.admin_key_leaked(:key_id, :source)
