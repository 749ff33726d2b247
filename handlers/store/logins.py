"""What the secret `database/<role>` holds: a password of the role's own login, or which of its two logins is in use.

a plain text                                      the password of the login named after the role
{"user": "gateway_b", "password": "..."}          what rotation puts: the two logins take turns
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

SECOND = "_b"


class Login(NamedTuple):
    """Who connects. Its representation hides the password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r})"


class _Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str
    password: str

    def __repr__(self) -> str:
        return "_Held(...)"


def logins_of(role: str) -> tuple[str, str]:
    """The two logins of a role."""
    return role, role + SECOND


def read_login(role: str, secret: str) -> Login:
    """The login of a role that the secret names; ValueError, without its text, when it names another's."""
    if not secret.startswith("{"):
        return Login(role, secret)
    try:
        held = msgspec.json.decode(secret, type=_Held)
    except msgspec.MsgspecError:
        raise ValueError(f"the secret database/{role} is a password, or JSON of user and password") from None
    if held.user not in logins_of(role):
        raise ValueError(f"the secret database/{role} names the login of another room")
    return Login(held.user, held.password)


def write_login(login: Login) -> bytes:
    """The secret of a login."""
    return msgspec.json.encode(_Held(login.user, login.password))
