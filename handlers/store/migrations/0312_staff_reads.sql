-- As in 0304, and the list of all tenants is a look at customers' data like any other: it leaves a row, in the trail of the
-- operators' own tenant, because a row in every customer's trail would say of each how many others there are.
create or replace function control_tenants(p_caller jsonb) returns text
language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  operators uuid := enter(p_caller, 'tenants:read');
begin
  perform audit_append(operators, 'tenant.list', operators::text, null,
    jsonb_build_object('tenants', (select count(*) from tenant)));
  return (select coalesce(jsonb_agg(tenant_json(t) order by t.created_at, t.tenant_id), '[]')::text from tenant t);
end $$;
