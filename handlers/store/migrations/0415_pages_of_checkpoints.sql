-- An export comes in pages, and each takes the checkpoints of its own rows, and the last one, whose key the first page names: all of
-- them, which a trail of two years has two hundred thousand of, came with every page.

drop function control_checkpoints(jsonb, bigint);
create function control_checkpoints(p_caller jsonb, p_from bigint, p_upto bigint) returns text
language plpgsql stable security definer set search_path = therouter, pg_temp as $$
begin
  perform enter(p_caller, 'audit:read');
  return (select coalesce(jsonb_agg(jsonb_build_object('size', c.size, 'note', c.note, 'verifier', c.verifier) order by c.size), '[]')::text
    from audit_checkpoint c
    where c.size between p_from and p_upto or c.size = (select max(l.size) from audit_checkpoint l));
end $$;
grant execute on function control_checkpoints(jsonb, bigint, bigint) to admin;
