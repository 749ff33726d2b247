"""Provider-bound material: encrypted reasoning and signatures that only the credential which made them can read.

Theory of operation
    Providers' bytes are never changed, and of what clients send back nothing else is sure to survive. So each piece is known by
    its fingerprint: a pod reports the fingerprints of what an answer carried, the gateways remember whose they are, and a
    pod is told which ones it may send on. Whatever else a request holds is left out of its body before translation.
    A piece is the same however a dialect shows it: without the mark of its maker (proof.py), in either alphabet of base64,
    padded or not.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b
from typing import Any

import msgspec

from handlers.translation.canonical.proof import read_proof

LEFT_OUT = "provider_bound_reasoning"
"""What the client's warning calls it."""
PIECES_MAX = 256
"""The newest of one request; older ones are left out."""
PIECE_BYTES_MAX = 1024 * 1024
_ALPHABET = str.maketrans("-_", "+/")
_NAMED = re.compile(
    rb'"(?:encrypted_content|signature|thought_signature|thoughtSignature)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"'
)
_DATA = re.compile(rb'"data"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_WITH_DATA = (b'"redacted_thinking"', b'"reasoning.encrypted"')
_SIGNS = {
    "openai_chat": b'"assistant"',
    "anthropic_messages": b'"assistant"',
    "openai_responses": b'"encrypted_content"',
    "google_generate": b'ignature"',
    "google_interactions": b'"signature"',
}
"""Dialect -> what a body with such material cannot lack: one search tells of nearly all others."""
_FIELDS = (b'ignature"', b'"encrypted_content"', *_WITH_DATA)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def fingerprint(piece: str) -> str:
    """What a piece is known by, 32 hexadecimal digits."""
    proof, origin = read_proof(piece, "")
    if not origin:
        proof, _ = read_proof(piece, "google")
    return blake2b(proof.translate(_ALPHABET).rstrip("=").encode(), digest_size=16).hexdigest()


def may_hold_material(dialect: str, body: bytes) -> bool:
    """Whether the body names a field that holds such material.

    Backwards: over a long prompt that search is several times faster than the one from the front.
    """
    sign = _SIGNS.get(dialect)
    return sign is not None and body.rfind(sign) >= 0 and any(body.rfind(field) >= 0 for field in _FIELDS)


def fingerprints_in(body: bytes) -> tuple[str, ...]:
    """Of all that may be such material, oldest first; found by a search, so other texts under such names are among them."""
    found = [match.group(1) for match in _NAMED.finditer(body)]
    if any(name in body for name in _WITH_DATA):
        found += [match.group(1) for match in _DATA.finditer(body)]
    pieces = [piece for piece in found[-PIECES_MAX:] if 0 < len(piece) <= PIECE_BYTES_MAX]
    return tuple(dict.fromkeys(fingerprint(_decode_text(b'"' + piece + b'"')) for piece in pieces))


_CONVERSATIONS = ("messages", "input", "contents")
_INNER = frozenset({"content", "parts", "reasoning_details", "tool_calls", "extra_content", "google", "steps"})
"""Fields whose values belong to the format; what stands in any other (arguments of tools, say) is the client's own."""
_PIECES = ("encrypted_content", "signature", "thought_signature", "thoughtSignature")
_WHOLE = frozenset({
    "thinking", "redacted_thinking", "reasoning", "reasoning.text", "reasoning.encrypted", "reasoning.summary", "thought",
    "compaction",
})  # fmt: skip
"""Types of objects that are nothing without their piece."""
_WITH_DATA_TYPES = frozenset({"redacted_thinking", "reasoning.encrypted"})
_KEPT_IDS = ("rs_", "msg_", "fc_")
"""Ids of what OpenAI keeps: neighbours of a reasoning item that is gone would ask for it."""
UNSIGNED_CALL = "skip_thought_signature_validator"
"""Google's own word for a call whose signature is somebody else's."""


def leave_out(body: bytes, kept: Collection[str]) -> tuple[bytes, tuple[str, ...]]:
    """The body without the pieces that are not `kept`, and what was left out in the words of a warning."""
    document = _decode(body)
    cut = _Cut(kept)
    for name in _CONVERSATIONS:
        if isinstance(document.get(name), list | dict):
            cut.walk(document[name])
    if not cut.pieces:
        return body, ()
    mended = _mend(document)
    return _encode(document), (LEFT_OUT, *mended)


class _Cut:
    """One walk through a conversation."""

    def __init__(self, kept: Collection[str]) -> None:
        self._kept = kept
        self.pieces = 0

    def walk(self, node: Any) -> None:
        """Leave out of a list or an object what is not kept."""
        if isinstance(node, list):
            node[:] = [item for item in node if not self._is_foreign(item)]
            for item in node:
                self.walk(item)
        elif isinstance(node, dict):
            for name in _INNER & node.keys():
                self.walk(node[name])
            if node.get("reasoning_details") == []:
                del node["reasoning_details"]
            self._strip(node)

    def _is_foreign(self, item: Any) -> bool:
        """An object that is nothing without its piece, whose piece is not kept."""
        if not isinstance(item, dict) or item.get("type") not in _WHOLE:
            return False
        names = (*_PIECES, "data") if item["type"] in _WITH_DATA_TYPES else _PIECES
        foreign = any(self._has_foreign(item, name) for name in names)
        self.pieces += foreign
        return foreign

    def _strip(self, node: dict[str, Any]) -> None:
        """Pieces of an object that is something without them."""
        for name in _PIECES:
            if node.get("type") in _WHOLE or not self._has_foreign(node, name):
                continue
            self.pieces += 1
            if "functionCall" in node or "function_call" in node:
                node[name] = UNSIGNED_CALL
            else:
                del node[name]

    def _has_foreign(self, node: dict[str, Any], name: str) -> bool:
        piece = node.get(name)
        if not isinstance(piece, str) or not piece or piece == UNSIGNED_CALL:
            return False
        return fingerprint(piece) not in self._kept


def _mend(document: dict[str, Any]) -> list[str]:
    """What a conversation without some of its reasoning would be refused for."""
    messages = document.get("messages")
    if isinstance(messages, list):
        messages[:] = [one for one in messages if not isinstance(one, dict) or one.get("content") != []]
        if _in_tool_loop(messages) and isinstance(document.get("thinking"), dict):
            # Anthropic refuses to think on in a turn that did not begin with a thought.
            document["thinking"] = {"type": "disabled"}
            return ["reasoning"]
    items = document.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and str(item.get("id")).startswith(_KEPT_IDS):
            del item["id"]
    return []


def _in_tool_loop(messages: list[Any]) -> bool:
    """The last message holds results of tools."""
    last = messages[-1] if messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return isinstance(content, list) and any(isinstance(b, dict) and b.get("type") == "tool_result" for b in content)
