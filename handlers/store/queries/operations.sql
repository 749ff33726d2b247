-- name: credit_reap
-- timeout_ms: 30000
select therouter.credit_reap(:limit)

-- name: operations_create_partitions
-- timeout_ms: 60000
select therouter.operations_create_partitions(:days_ahead)

-- name: usage_purge_due
-- timeout_ms: 60000
select * from therouter.usage_purge_due()

-- name: usage_purge
-- timeout_ms: 60000
select * from therouter.usage_purge(:tenant, :cutoff, :limit)

-- name: operations_tidy_usage
-- timeout_ms: 60000
select * from therouter.operations_tidy_usage()
