-- The second wall. Nobody but the owner has rights on a table; should a grant ever slip in, row-level security shows a
-- role only the rows of the tenant that it has set for its transaction, and none when it has set none.
do $$
declare
  name text;
begin
  foreach name in array array[
    'tenant', 'app_user', 'api_key', 'byok_key', 'key_change', 'account', 'lease', 'entry', 'usage_event', 'usage_event_default',
    'usage_rollup', 'usage_purged']
  loop
    execute format('alter table %I enable row level security', name);
    execute format(
      $policy$create policy own_rows on %I using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid)$policy$,
      name);
  end loop;
end $$;
