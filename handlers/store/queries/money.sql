-- name: credit_topup
select therouter.credit_topup(:key, :tenant, :amount_nano)

-- name: credit_refund
select therouter.credit_refund(:key, :tenant, :amount_nano)

-- name: credit_chargeback
select therouter.credit_chargeback(:key, :tenant, :amount_nano)

-- name: credit_adjust
select therouter.credit_adjust(:key, :tenant, :amount_nano, :reason)
