"""Routes about the caller, its tenant, retention and users."""

from __future__ import annotations

import uuid

from handlers.admin.calls import SIGNED_IN, Call, Route
from handlers.admin.shapes import (
    Me,
    Retention,
    RetentionChange,
    RetentionQuery,
    Tenant,
    TenantChange,
    User,
    UserChange,
    UserGone,
    UserNew,
)


def show_me(call: Call) -> Me:
    """Tenant, role and scopes of the caller."""
    standing = call.standing
    return Me(
        tenant_id=standing.tenant_id, user_id=standing.user_id, role=standing.role, scopes=sorted(standing.scopes)
    )


def show_tenant(call: Call) -> Tenant:
    """The caller's tenant."""
    return call.ask("control_tenant", Tenant)


def change_tenant(call: Call) -> Tenant:
    """Name, BYOK mode and data policy."""
    change: TenantChange = call.body
    return call.ask(
        "control_change_tenant",
        Tenant,
        name=change.name,
        byok_mode=change.byok_mode,
        data_policy=change.data_policy,
    )


def show_retention(call: Call) -> Retention:
    """What a retention would remove."""
    query: RetentionQuery = call.query
    return call.ask("control_retention", Retention, days=query.days)


def set_retention(call: Call) -> Retention:
    """Keep request metadata for so many days. What is older goes with the next purge, for good."""
    change: RetentionChange = call.body
    return call.ask("control_set_retention", Retention, days=change.days, confirm_rows=change.confirm_rows)


def list_users(call: Call) -> list[User]:
    """Everybody of the tenant."""
    return call.ask("control_users", list[User])


def create_user(call: Call) -> User:
    """Let somebody in."""
    new: UserNew = call.body
    return call.ask("control_create_user", User, user=str(uuid.uuid4()), email=new.email, role=new.role)


def show_user(call: Call) -> User:
    """One person."""
    return call.ask("control_user", User, user=call.uuid("user_id"))


def change_user(call: Call) -> User:
    """Give another role."""
    change: UserChange = call.body
    return call.ask("control_change_user", User, user=call.uuid("user_id"), role=change.role)


def remove_user(call: Call) -> UserGone:
    """Remove a person: sessions end and keys are revoked within five seconds."""
    return call.ask("control_remove_user", UserGone, user=call.uuid("user_id"), erase=False)


def erase_user(call: Call) -> UserGone:
    """Remove a person and everything that names them; their usage is booked under an id that leads nowhere."""
    return call.ask("control_remove_user", UserGone, user=call.uuid("user_id"), erase=True)


ROUTES = (
    Route("GET", "/admin/me", SIGNED_IN, "Who the caller is and what it may do", show_me, Me),
    Route("GET", "/admin/tenant", "tenant:read", "Show the tenant", show_tenant, Tenant),
    Route("PATCH", "/admin/tenant", "tenant:write", "Change the tenant", change_tenant, Tenant, TenantChange),
    Route(
        "GET",
        "/admin/retention",
        "tenant:read",
        "Show the retention, or preview one",
        show_retention,
        Retention,
        query=RetentionQuery,
    ),
    Route(
        "PUT",
        "/admin/retention",
        "retention:write",
        "Set the retention",
        set_retention,
        Retention,
        RetentionChange,
        dangerous=True,
    ),
    Route("GET", "/admin/users", "users:read", "List the users", list_users, list[User]),
    Route("POST", "/admin/users", "users:write", "Let somebody in", create_user, User, UserNew, status=201),
    Route("GET", "/admin/users/<user_id>", "users:read", "Show a user", show_user, User),
    Route(
        "PATCH",
        "/admin/users/<user_id>",
        "users:write",
        "Change a user's role",
        change_user,
        User,
        UserChange,
        dangerous=True,
    ),
    Route("DELETE", "/admin/users/<user_id>", "users:write", "Remove a user", remove_user, UserGone, dangerous=True),
    Route(
        "POST",
        "/admin/users/<user_id>/erasure",
        "users:write",
        "Erase a user: nothing that names the person stays",
        erase_user,
        UserGone,
        dangerous=True,
    ),
)
