-- Every room that serves looks whether its database was put back, not gateways alone; and when it was, what people began in sessions
-- that they have ended since must not go on: all sign in again.

grant execute on function gateway_watch(), gateway_changes(bigint) to admin, payments;

create or replace function operations_reopen(p_epoch int, p_entries int) returns void
language plpgsql security definer set search_path = therouter, pg_temp as $$
begin
  update restore_state set epoch = p_epoch where epoch < p_epoch;
  if found then
    delete from person_session;
    perform audit_append(null, 'restore.done', p_epoch::text, null, jsonb_build_object('entries', p_entries));
  end if;
end $$;
