-- As in 0305; and a session remembers when its person last proved who they are, which may be long before it began.
drop function admin_sign_in(text, text, text, uuid, text, int);
create function admin_sign_in(
  p_session_id text, p_subject text, p_email text, p_tenant uuid, p_role text, p_life_s int, p_proved_at bigint
) returns text language plpgsql security definer set search_path = therouter, pg_temp as $$
declare
  who app_user;
  found_users app_user[];
begin
  select array_agg(u) into found_users from app_user u join tenant t using (tenant_id)
    where u.state = 'active' and t.state <> 'closed' and (p_tenant is null or u.tenant_id = p_tenant)
      and (u.subject = p_subject or (u.subject = '' and p_email <> '' and lower(u.email) = lower(p_email)));
  if coalesce(array_length(found_users, 1), 0) <> 1 or p_subject = '' then
    return null;
  end if;
  who := found_users[1];
  perform set_config('therouter.actor', 'user:' || who.user_id, true);
  update app_user set subject = p_subject, role = coalesce(p_role, role) where user_id = who.user_id;
  delete from person_session where user_id = who.user_id and expires_at < now();
  insert into person_session (session_id, tenant_id, user_id, expires_at, proved_at)
    values (p_session_id, who.tenant_id, who.user_id, now() + make_interval(secs => least(greatest(p_life_s, 60), 86400)),
      least(to_timestamp(p_proved_at), now()));
  perform audit_append(who.tenant_id, 'session.create', who.user_id::text, null, null);
  return jsonb_build_object('tenant_id', who.tenant_id, 'user_id', who.user_id, 'role', coalesce(p_role, who.role))::text;
end $$;
grant execute on function admin_sign_in(text, text, text, uuid, text, int, bigint) to admin;
