"""Who may do what in the database, as a table. A right that is not written here is a defect."""

from __future__ import annotations

from contextlib import closing

import pytest
from pg8000.exceptions import DatabaseError

from handlers.store.connection import open_connection
from handlers.store.migrate import LOGINS, ROLES
from handlers.store.session import sqlstate_of
from tests.database import Database

# Add the function of a new migration here, beside the room that needs it.
FUNCTIONS: dict[str, set[str]] = {
    "gateway": {
        "credit_lease",
        "credit_lease_for_key",
        "credit_release",
        "credit_renew",
        "bound_makers_find",
        "bound_makers_note",
        "figures_add",
        "figures_read",
        "gateway_byok",
        "gateway_byok_care",
        "gateway_byok_checked",
        "gateway_byok_resealed",
        "gateway_changes",
        "gateway_holder",
        "gateway_watch",
        "key_summary",
        "place_renew",
        "rate_admit",
        "rate_settle",
        "request_claim_drop",
        "request_claim_take",
        "usage_find",
        "usage_settle",
    },
    "admin": {
        "admin_key_leaked",
        "admin_sign_in",
        "admin_sign_out",
        "control_activity",
        "control_alerts",
        "control_audit",
        "control_audit_beginning",
        "control_budgets",
        "control_byok_record",
        "control_byok_records",
        "control_change_byok",
        "control_check_byok",
        "control_change_key",
        "control_change_tenant",
        "control_change_user",
        "control_checkpoints",
        "control_close_account",
        "control_confirm_key",
        "control_create_byok",
        "control_create_key",
        "control_create_tenant",
        "control_create_user",
        "control_credits",
        "control_delete_byok",
        "control_export",
        "control_generation",
        "control_inspect_tenant",
        "control_key",
        "control_keys",
        "control_limits",
        "control_principal",
        "control_remove_user",
        "control_retention",
        "control_revoke_key",
        "control_rotate_key",
        "control_set_budget",
        "control_set_limits",
        "control_set_pricing",
        "control_set_retention",
        "control_set_spending",
        "control_set_tenant_state",
        "control_spending",
        "control_tenant",
        "control_tenants",
        "control_usage",
        "control_user",
        "control_users",
        "gateway_changes",
        "gateway_watch",
        "gateway_holder",
    },
    "founder": {
        "admin_confirm_key",
        "admin_create_key",
        "admin_create_tenant",
        "admin_create_user",
        "admin_first_management_key",
        "admin_list_keys",
        "admin_list_tenants",
        "admin_revoke_key",
        "admin_set_spending",
        "alert_list",
        "credit_adjust",
        "credit_grant_until",
        "credit_list",
        "ledger_check",
        "usage_recent",
    },
    "payments": {
        "gateway_changes",
        "gateway_watch",
        "payments_apply",
        "payments_bind_order",
        "payments_bind_refund",
        "payments_claim_order",
        "payments_claim_orders",
        "payments_claim_refunds",
        "payments_find_order",
        "payments_find_profile",
        "payments_find_receipt",
        "payments_flag_missing",
        "payments_forget_events",
        "payments_key",
        "payments_list_methods",
        "payments_list_orders",
        "payments_list_paid",
        "payments_list_receipts",
        "payments_list_refunds",
        "payments_note_comparison",
        "payments_open_automatic",
        "payments_open_order",
        "payments_open_refund",
        "payments_remove_method",
        "payments_role",
        "payments_set_automatic",
        "payments_set_customer",
        "payments_set_tax_id",
        "payments_uncompared_days",
    },
    "operations": {
        "credit_expire",
        "credit_reap",
        "ledger_check",
        "operations_alert_readers",
        "operations_audit_beginning",
        "operations_audit_ending",
        "operations_audit_leaves",
        "operations_begin_audit",
        "operations_end_audit",
        "operations_succeed",
        "operations_successions",
        "operations_claim_alerts",
        "operations_create_partitions",
        "operations_gone",
        "operations_reopen",
        "operations_replay",
        "operations_restore_epoch",
        "operations_last_checkpoint",
        "operations_noticed",
        "operations_purge_batch",
        "operations_raise_alerts",
        "operations_reconcile",
        "operations_stop_unusual",
        "operations_purge_pending",
        "operations_purge_plan",
        "operations_purge_receipt",
        "operations_seal_audit",
        "operations_tidy_usage",
        "operations_told",
    },
    "rotation": {
        "rotation_logins",
        "rotation_note",
        "rotation_reseal",
        "rotation_set_login",
        "rotation_successor",
    },
    "site": set(),
}
VIEWS: dict[str, set[str]] = {room: set() for room in ROLES}


@pytest.mark.claim("C56")
@pytest.mark.parametrize("room", ROLES)
def test_a_room_may_execute_exactly_its_functions(database: Database, room: str) -> None:
    executable = database.query(
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname not in ('pg_catalog', 'information_schema') and has_function_privilege(:room, p.oid, 'execute')",
        room=room,
    )
    assert {name for (name,) in executable} == FUNCTIONS[room]


@pytest.mark.claim("A11", "A14")
def test_a11_no_function_of_the_control_plane_takes_its_own_tenant_from_its_caller(database: Database) -> None:
    """What operators may do to another tenant names that one, behind the scope that only operators have."""
    named = database.query(
        "select p.proname from pg_proc p where p.pronamespace = 'therouter'::regnamespace "
        "and has_function_privilege('admin', p.oid, 'execute') "
        "and exists (select from unnest(p.proargnames, p.proargmodes) a(name, mode) "
        "            where name = 'p_tenant' and coalesce(mode, 'i') = 'i')"
    )
    assert {name for (name,) in named} == {
        "admin_sign_in",  # which of the person's tenants, never a way into one
        "control_create_tenant",
        "control_inspect_tenant",
        "control_set_pricing",
        "control_set_tenant_state",
    }


@pytest.mark.claim("A11", "C56")
@pytest.mark.parametrize("room", [role for role in LOGINS if role != "founder"])
def test_a11_no_room_may_do_what_the_founder_does(database: Database, room: str) -> None:
    shared = {"ledger_check"} if room == "operations" else set()
    assert FUNCTIONS[room] & FUNCTIONS["founder"] == shared
    with closing(open_connection(database.dsn(room), timeout_s=5)) as connection:
        with pytest.raises(DatabaseError) as refused:
            connection.run("select therouter.admin_create_tenant(gen_random_uuid(), 'mine')")
        assert sqlstate_of(refused.value) == "42501"


@pytest.mark.claim("A11")
def test_a11_whoever_rotates_logins_cannot_become_the_founder(database: Database) -> None:
    with closing(open_connection(database.dsn("rotation"), timeout_s=5)) as connection:
        for login in ("founder", "site", "therouter_owner"):
            with pytest.raises(DatabaseError) as refused:
                connection.run("select therouter.rotation_set_login(:login, 'SCRAM-SHA-256$1:a$b:c')", login=login)
            assert sqlstate_of(refused.value) == "TR400"


def test_the_site_has_no_way_in(database: Database) -> None:
    assert database.query("select rolcanlogin, rolconnlimit from pg_roles where rolname = 'site'")[0][0] is False
    assert "site" not in LOGINS


@pytest.mark.claim("C56")
@pytest.mark.parametrize("room", ROLES)
def test_a_room_may_read_exactly_its_views_and_write_nothing(database: Database, room: str) -> None:
    touchable = database.query(
        "select c.relname, c.relkind, p.privilege from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p(privilege) "
        "where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relkind in ('r', 'p', 'v', 'm', 'f') "
        "and (has_table_privilege(:room, c.oid, p.privilege) or (p.privilege in ('select', 'insert', 'update', 'references') "
        "and has_any_column_privilege(:room, c.oid, p.privilege)))",
        room=room,
    )
    assert {(name, kind, privilege) for name, kind, privilege in touchable} == {
        (view, "v", "select") for view in VIEWS[room]
    }
    sequences = database.query(
        "select s.seqrelid::regclass::text from pg_sequence s where has_sequence_privilege(:room, s.seqrelid, 'usage, select, update')",
        room=room,
    )
    assert sequences == []


@pytest.mark.parametrize("room", ROLES)
def test_a_room_creates_nothing_and_is_a_member_of_nothing(database: Database, room: str) -> None:
    rights = database.query(
        "select has_database_privilege(:room, current_database(), 'create'), "
        "has_database_privilege(:room, current_database(), 'temporary'), "
        "has_schema_privilege(:room, 'therouter', 'create'), has_schema_privilege(:room, 'public', 'usage'), "
        "(select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls or rolinherit "
        " from pg_roles where rolname = :room), "
        "exists (select from pg_auth_members where member = (select oid from pg_roles where rolname = :room))",
        room=room,
    )
    assert rights == [[False] * 6]


def test_every_function_runs_in_a_fixed_schema_and_granted_ones_as_the_owner(database: Database) -> None:
    unfixed = database.query(
        "select p.proname from pg_proc p where p.pronamespace = 'therouter'::regnamespace "
        "and not exists (select from unnest(p.proconfig) c where c like 'search_path=%')"
    )
    assert unfixed == []
    granted = set().union(*FUNCTIONS.values())
    with_callers_rights = database.query(
        "select p.proname from pg_proc p where p.pronamespace = 'therouter'::regnamespace and not p.prosecdef"
    )
    assert granted & {str(name) for (name,) in with_callers_rights} == set()


@pytest.mark.claim("C56")
@pytest.mark.parametrize("room", LOGINS)
def test_tables_refuse_even_to_be_looked_at(database: Database, room: str) -> None:
    with closing(open_connection(database.dsn(room), timeout_s=5)) as connection:
        for statement in (
            "select * from therouter.api_key",
            "insert into therouter.key_change (key_id) values ('x')",
            "update therouter.account set balance_nano = 1",
            "delete from therouter.entry",
            "create temporary table mine (a int)",
            "set role therouter_owner",
        ):
            with pytest.raises(DatabaseError) as refused:
                connection.run(statement)
            assert sqlstate_of(refused.value) == "42501", statement


ROWS_OF_TENANTS = (
    "tenant", "app_user", "api_key", "byok_key", "key_change", "account", "lease", "entry", "usage_event",
    "usage_event_default", "usage_rollup", "usage_purged",
)  # fmt: skip


def test_all_tables_with_rows_of_tenants_have_the_second_wall(database: Database) -> None:
    unprotected = database.query(
        "select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' "
        "where c.relnamespace = 'therouter'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity"
    )
    assert unprotected == []
    protected = database.query("select relname from pg_class where relrowsecurity")
    assert set(ROWS_OF_TENANTS) <= {name for (name,) in protected}


def test_behind_a_mistaken_grant_a_room_still_sees_only_the_tenant_it_named(database: Database) -> None:
    mine, other = "0" * 8 + "-0000-0000-0000-" + "1" * 12, "0" * 8 + "-0000-0000-0000-" + "2" * 12
    for tenant in (mine, other):
        database.query("select therouter.admin_create_tenant(:tenant, 'T')", tenant=tenant)
    database.altered = True
    database.query("grant select on therouter.tenant, therouter.account to operations")
    with closing(open_connection(database.dsn("operations"), timeout_s=5)) as connection:
        assert connection.run("select * from therouter.tenant") == []
        connection.run("select set_config('therouter.tenant_id', :tenant, false)", tenant=mine)
        assert [str(row[0]) for row in connection.run("select tenant_id from therouter.tenant")] == [mine]
        assert [str(row[0]) for row in connection.run("select tenant_id from therouter.account")] == [mine]
