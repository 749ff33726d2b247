-- As in 0303, and a member may see its own budget: who is refused for it must be able to see why.
set local role therouter_control;
create or replace function control_budgets(p_caller jsonb) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
declare
  mine uuid := enter(p_caller, 'usage:read');
  self uuid := own_user();
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', case when b.scope = 'user' then b.subject end, 'limit_nano', b.limit_nano, 'period', b.period,
        'spent_nano', (
          select coalesce(sum(r.cost_nano), 0)::bigint from usage_rollup r
          where r.tenant_id = mine and r.day >= period_start(b.period) and (b.scope = 'tenant' or r.user_id = b.subject))
      ) order by b.scope, b.subject, b.period), '[]')::text
    from budget b where b.tenant_id = mine and (self is null or (b.scope = 'user' and b.subject = self)));
end $$;
set local role therouter_owner;
