"""multipart/form-data in memory: read into parts, write back with other values. No file is ever written."""

from __future__ import annotations

import re
from typing import NamedTuple

from handlers.errors import InvalidRequest

PARTS_MAX = 64
PART_HEADER_BYTES_MAX = 4_096
_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))')
_NAME = re.compile(rb'[ ;]name="?([A-Za-z0-9_\-\[\]]{1,64})"?')


class FormPart(NamedTuple):
    """One field."""

    name: str
    head: bytes
    value: bytes


class Form(NamedTuple):
    """A whole form."""

    boundary: str
    parts: tuple[FormPart, ...]


def read_form(body: bytes, content_type: str) -> Form:
    """The parts of a form.

    Raises:
        InvalidRequest: it is none, or has too many parts.
    """
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise InvalidRequest("Send multipart/form-data with a boundary.", param="content-type")
    boundary = found[1] or found[2]
    mark = b"--" + boundary.encode("latin-1")
    first, *pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if first.strip() or len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise InvalidRequest("The form is cut or malformed.", param="body")
    if len(pieces) > PARTS_MAX:
        raise InvalidRequest(f"A form may have at most {PARTS_MAX} fields.", param="body")
    return Form(boundary, tuple(_part(piece) for piece in pieces[:-1]))


def _part(piece: bytes) -> FormPart:
    head, blank, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if not blank or name is None or len(head) > PART_HEADER_BYTES_MAX:
        raise InvalidRequest("A form field has no name.", param="body")
    return FormPart(name[1].decode(), head, value)


def write_form(form: Form, values: dict[str, str]) -> bytes:
    """The form with these values in place of what stood there."""
    mark = b"--" + form.boundary.encode("latin-1")
    written = [
        mark + b"\r\n" + part.head + b"\r\n\r\n" + (values[part.name].encode() if part.name in values else part.value)
        for part in form.parts
    ]
    return b"\r\n".join([*written, mark + b"--\r\n"])
