-- name: credit_reap
-- timeout_ms: 30000
select therouter.credit_reap(:limit)

-- name: operations_create_partitions
-- timeout_ms: 60000
select therouter.operations_create_partitions(:days_ahead)
