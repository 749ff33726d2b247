-- Plans that stay good while tables grow. A function's plan is made when a day's partition is empty and is kept while
-- millions of rows arrive: what looked like a fine scan then is a scan of everything now. Functions that look rows up by
-- key are therefore told to use the index from the first call.
do $$
declare
  name regprocedure;
begin
  foreach name in array array[
    'settle_batch(json)', 'refuse_purged_usage()', 'book(text, uuid, system_account, bigint, text, text)',
    'credit_lease(uuid, uuid, text, bigint, bigint, int)', 'credit_renew(uuid[], int)', 'credit_release(uuid, bigint)',
    'credit_reap(int)', 'gateway_key(text)', 'gateway_changes(bigint)', 'gateway_change_latest()', 'gateway_byok(uuid, text)',
    'usage_find(uuid, uuid)', 'usage_recent(uuid, int, timestamptz)', 'spend_since(uuid, uuid, text, date)',
    'key_summary(text)', 'account_balance(uuid)', 'usage_purge(uuid, timestamptz, int)']::regprocedure[]
  loop
    execute format('alter function %s set enable_seqscan = off', name);
    execute format('alter function %s set enable_hashjoin = off', name);
    execute format('alter function %s set enable_mergejoin = off', name);
  end loop;
end $$;
