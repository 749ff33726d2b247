-- name: payments_open_order
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_open_order(
  :order, :tenant, :provider, :amount, :currency, :mode, :keep_method, :customer, :request_key, :life_s)

-- name: payments_bind_order
select therouter.payments_bind_order(:order, :company_order)

-- name: payments_find_order
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_find_order(:tenant, :order)

-- name: payments_list_orders
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_list_orders(:tenant, :limit)

-- name: payments_claim_orders
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_claim_orders(:limit)

-- name: payments_claim_order
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_claim_order(:tenant, :order)

-- name: payments_open_automatic
select order_id, tenant_id, provider, kind, amount_minor, currency, mode, state, keep_method, customer, method, company_order,
  company_payment, refunded_minor, disputed, flag, created_at, expires_at, paid_at
from therouter.payments_open_automatic(:provider, :currency, :mode, :limit)

-- name: payments_apply
select therouter.payments_apply(:provider, :event, :kind, :order_id, :tenant, :amount_minor, :currency, :mode,
  :company_order, :company_payment, :refund_id, :reference, :receipt, :method)

-- name: payments_open_refund
select refund_id, order_id, amount_minor, state, company_refund, created_at
from therouter.payments_open_refund(:refund, :tenant, :order, :amount, :request_key)

-- name: payments_bind_refund
select therouter.payments_bind_refund(:refund, :company_refund)

-- name: payments_list_refunds
select refund_id, order_id, amount_minor, state, company_refund, created_at
from therouter.payments_list_refunds(:tenant, :order)

-- name: payments_claim_refunds
select refund_id, order_id, amount_minor, state, company_refund, created_at
from therouter.payments_claim_refunds(:limit)

-- name: payments_list_receipts
select receipt_id, order_id, amount_minor, currency, extract(epoch from issued_at)::bigint
from therouter.payments_list_receipts(:tenant, :limit)

-- name: payments_find_receipt
select therouter.payments_find_receipt(:tenant, :receipt)

-- name: payments_list_methods
select method_id from therouter.payments_list_methods(:tenant)

-- name: payments_remove_method
select therouter.payments_remove_method(:tenant, :method)

-- name: payments_find_profile
select customer, tax_id, automatic_method, automatic_threshold_minor, automatic_amount_minor, automatic_failures
from therouter.payments_find_profile(:tenant)

-- name: payments_set_customer
select customer from therouter.payments_set_customer(:tenant, :customer)

-- name: payments_set_tax_id
select therouter.payments_set_tax_id(:tenant, :tax_id)

-- name: payments_set_automatic
select tenant_id from therouter.payments_set_automatic(:tenant, :threshold, :amount, :method)

-- name: payments_forget_events
select therouter.payments_forget_events(:days)

-- name: payments_key
select * from therouter.payments_key(:key_id)

-- name: payments_role
select therouter.payments_role(:user)

-- name: payments_list_paid
-- timeout_ms: 30000
select order_id, company_payment, amount_minor from therouter.payments_list_paid(
  :provider, to_timestamp(:since), to_timestamp(:until))

-- name: payments_flag_missing
select therouter.payments_flag_missing(:order)

-- name: payments_note_comparison
select therouter.payments_note_comparison(:provider, :day, :listed, :repaired, :missing)

-- name: payments_uncompared_days
select therouter.payments_uncompared_days(:provider, :until)
