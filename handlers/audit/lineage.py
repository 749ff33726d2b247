"""The line of keys that sign checkpoints: each hands over to the next with a note that both have signed.

Text of such a note
    therouter.ai/audit/global/succession
    therouter.ai/audit/global+1a2b3c4d+AbCd...     the key before, in its text form
    therouter.ai/audit/global+5e6f7a8b+EfGh...     the key after

Who knows one key of a line, the first or the last, knows all of them: the key before says who comes after, and the key after says
whom it follows. A key that has handed over signs no checkpoint after the first of its successor.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import NoteBroken, open_note, sign_note, verifier_of


class Succession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="succession", tag_field="kind"):
    """One change of key; both as text, `<name>+<id>+<base64>`."""

    before: str
    after: str
    note: str


def _text(origin: str, before: str, after: str) -> str:
    return f"{origin}/succession\n{before}\n{after}\n"


def sign_succession(origin: str, before: Ed25519PrivateKey, after: Ed25519PrivateKey) -> Succession:
    """One key hands over to another."""
    old, new = verifier_of(origin, before), verifier_of(origin, after)
    text = _text(origin, old, new)
    note = sign_note(text, origin, before)
    return Succession(old, new, note + sign_note(text, origin, after).removeprefix(f"{text}\n"))


def line_of_keys(origin: str, successions: Iterable[Succession], known: str) -> tuple[str, ...]:
    """The keys of a line, the oldest first.

    Args:
        origin: the name of the log.
        successions: every change, the oldest first.
        known: a key that must be one of them; where nothing was handed over, it is the only one.

    Raises:
        NoteBroken: a signature, the order, or the line as a whole does not fit.
    """
    line: list[str] = []
    for step in successions:
        if line and step.before != line[-1]:
            raise NoteBroken("the keys do not follow one another")
        text = _text(origin, step.before, step.after)
        if step.after in {step.before, *line} or any(
            open_note(step.note, key) != text for key in (step.before, step.after)
        ):
            raise NoteBroken("a key was not handed over by this note")
        line = [*(line or [step.before]), step.after]
    if known not in (line or [known]):
        raise NoteBroken("the key is not in the line of keys")
    return tuple(line or [known])
