-- name: credit_reap
-- timeout_ms: 30000
select therouter.credit_reap(:limit)

-- name: credit_expire
-- timeout_ms: 60000
select * from therouter.credit_expire(:limit)

-- name: operations_raise_alerts
-- timeout_ms: 60000
select therouter.operations_raise_alerts()

-- name: operations_stop_unusual
-- timeout_ms: 60000
select therouter.operations_stop_unusual()

-- name: operations_claim_alerts
select * from therouter.operations_claim_alerts(:limit)

-- name: operations_alert_readers
select * from therouter.operations_alert_readers(:alert)

-- name: operations_told
select therouter.operations_told(:alert, :user)

-- name: operations_noticed
select therouter.operations_noticed(:alerts)

-- name: operations_reconcile
-- timeout_ms: 300000
select * from therouter.operations_reconcile()

-- name: operations_create_partitions
-- timeout_ms: 60000
select therouter.operations_create_partitions(:days_ahead)

-- name: operations_tidy_usage
-- timeout_ms: 60000
select * from therouter.operations_tidy_usage()

-- name: operations_purge_plan
-- timeout_ms: 60000
select * from therouter.operations_purge_plan()

-- name: operations_purge_batch
-- timeout_ms: 60000
select * from therouter.operations_purge_batch(:tenant, :cutoff, :limit)

-- name: operations_purge_pending
select * from therouter.operations_purge_pending()

-- name: operations_purge_receipt
select therouter.operations_purge_receipt(:tenant, :cutoff, :requests, :cost_nano, :receipt)

-- name: operations_last_checkpoint
select * from therouter.operations_last_checkpoint()

-- name: operations_audit_beginning
select * from therouter.operations_audit_beginning()

-- name: operations_audit_ending
-- timeout_ms: 20000
select * from therouter.operations_audit_ending(:days)

-- name: operations_begin_audit
-- timeout_ms: 20000
select therouter.operations_begin_audit(:size)

-- name: operations_end_audit
-- timeout_ms: 20000
select therouter.operations_end_audit(:limit)

-- name: operations_successions
select * from therouter.operations_successions()

-- name: operations_succeed
select therouter.operations_succeed(:before, :after, :note)

-- name: operations_audit_leaves
-- timeout_ms: 20000
select * from therouter.operations_audit_leaves(:after, :limit)

-- name: operations_seal_audit
select therouter.operations_seal_audit(:size, :note, :verifier, :frontier)

-- name: operations_gone
-- timeout_ms: 20000
select * from therouter.operations_gone(:after, :upto)

-- name: operations_replay
-- timeout_ms: 60000
select therouter.operations_replay(:entry)

-- name: operations_restore_epoch
select therouter.operations_restore_epoch()

-- name: operations_reopen
select therouter.operations_reopen(:epoch, :entries)
