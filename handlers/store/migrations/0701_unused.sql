-- Left from the first migrations. No query and no function names these any more:
drop function spend_since(uuid, uuid, text, date), gateway_change_latest(), account_balance(uuid);

-- And these are called by other functions alone, which run as their owner. A purge past its receipt, above all, is nobody's right.
revoke execute on function usage_purge(uuid, timestamptz, int), usage_purge_due(), operations_payment_summary() from operations;
revoke execute on function gateway_key(text) from gateway, admin;
