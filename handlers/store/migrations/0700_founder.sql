-- Functions that name a tenant are the founder's. The admin room finds the tenant from the principal that it has authenticated
-- (`enter`), so what takes a tenant from its caller would be a way around every wall of the control plane.
do $$
declare
  name text;
begin
  foreach name in array array[
    'admin_create_tenant(uuid, text)', 'admin_create_user(uuid, uuid, text, text)',
    'admin_create_key(text, uuid, uuid, text, text, jsonb, bigint)', 'admin_revoke_key(uuid, text)', 'admin_list_keys(uuid)',
    'admin_list_tenants()', 'admin_first_management_key(text, uuid, uuid, text, text)',
    'admin_set_spending(uuid, int, bigint, bigint, int)', 'admin_confirm_key(uuid, text)', 'alert_list(uuid, int)',
    'credit_adjust(text, uuid, bigint, text)', 'credit_grant_until(text, uuid, bigint, text, timestamptz)',
    'credit_list(uuid, int)', 'usage_recent(uuid, int, timestamptz)', 'ledger_check()'
  ]
  loop
    execute format('revoke execute on function %s from admin', name);
    execute format('grant execute on function %s to founder', name);
  end loop;
end $$;

-- Left from the first migrations: nothing in these rooms calls them.
revoke execute on function usage_find(uuid, uuid), spend_since(uuid, uuid, text, date), key_summary(text), account_balance(uuid)
  from admin, site;
revoke execute on function usage_recent(uuid, int, timestamptz) from site;
