"""A development identity provider for one machine: `python -m handlers.local.issuer --port 8094`.

It believes whatever address a person types, so it refuses to start in a cloud and listens on 127.0.0.1 alone. What it signs is
worth nothing elsewhere: its key lives as long as its process.
"""

from __future__ import annotations

import argparse
import base64
import html
import os
import secrets
import sys
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from handlers.settings import Deployment, SettingError

CLIENT = "therouter"
LIFE_S = 300
CODES_MAX = 1_000
PAGE = """<!doctype html><meta charset="utf-8"><title>Development sign-in</title>
<h1>Development sign-in</h1><p>This page is for this machine alone: it believes what you type.</p>
<form method="get" action="/approve"><input type="hidden" name="query" value="{query}">
<label>E-mail <input name="email" type="email" value="{email}" required autofocus></label>
<label>Groups <input name="groups" placeholder="a,b"></label> <button>Sign in</button></form>"""


class _Grant(NamedTuple):
    fields: dict[str, str]
    email: str
    groups: list[str]
    at: float


class Issuer:
    """The issuer's state: one key, and the codes that were not exchanged yet."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig", "alg": "ES256"})
        self._codes: dict[str, _Grant] = {}

    def configuration(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def keys(self) -> dict[str, Any]:
        """The public key."""
        return {"keys": [self._key.as_dict(private=False)]}

    def approve(self, query: str, email: str, groups: str) -> str:
        """Where the browser goes after its person has typed an address; ValueError for a request that is none of ours."""
        fields = dict(parse_qsl(query))
        back = urlsplit(fields.get("redirect_uri", ""))
        if fields.get("client_id") != CLIENT or back.hostname != "127.0.0.1" or "code_challenge" not in fields:
            raise ValueError("not a sign-in of this machine")
        code = secrets.token_urlsafe(24)
        while len(self._codes) >= CODES_MAX:
            del self._codes[next(iter(self._codes))]
        self._codes[code] = _Grant(fields, email, [group for group in groups.split(",") if group], time.time())
        return f"{fields['redirect_uri']}?{urlencode({'code': code, 'state': fields.get('state', '')})}"

    def exchange(self, fields: dict[str, str]) -> str:
        """The id token for a code, once; ValueError when code, verifier or address do not fit."""
        grant = self._codes.pop(fields.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(sha256(fields.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            grant is None
            or challenge.decode() != grant.fields["code_challenge"]
            or fields.get("redirect_uri") != grant.fields["redirect_uri"]
        ):
            raise ValueError("the code does not fit")
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "sub": f"dev-{sha256(grant.email.lower().encode()).hexdigest()[:24]}",
            "email": grant.email,
            "email_verified": True,
            "groups": grant.groups,
            "nonce": grant.fields.get("nonce", ""),
            "iat": int(time.time()),
            "auth_time": int(grant.at),
            "exp": int(time.time()) + LIFE_S,
        }
        return str(jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key, algorithms=["ES256"]))


class _Visit(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        fields = dict(parse_qsl(query))
        issuer = type(self).issuer
        if path == "/.well-known/openid-configuration":
            self._json(200, issuer.configuration())
        elif path == "/keys":
            self._json(200, issuer.keys())
        elif path == "/authorize":
            page = PAGE.format(query=html.escape(query), email=html.escape(fields.get("login_hint", "")))
            self._answer(200, "text/html; charset=utf-8", page.encode())
        elif path == "/approve":
            self._approve(fields)
        else:
            self._json(404, {"error": "not_found"})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        fields = dict(parse_qsl(self.rfile.read(min(length, 65_536)).decode("utf-8", "replace")))
        try:
            token = type(self).issuer.exchange(fields)
        except ValueError:
            self._json(400, {"error": "invalid_grant"})
            return
        self._json(200, {"token_type": "Bearer", "access_token": secrets.token_hex(8), "id_token": token})

    def _approve(self, fields: dict[str, str]) -> None:
        try:
            goal = type(self).issuer.approve(fields.get("query", ""), fields.get("email", ""), fields.get("groups", ""))
        except ValueError:
            self._json(400, {"error": "invalid_request"})
            return
        self.send_response(302)
        self.send_header("location", goal)
        self.send_header("content-length", "0")
        self.end_headers()

    def _json(self, status: int, content: object) -> None:
        self._answer(status, "application/json", msgspec.json.encode(content))

    def _answer(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: request lines hold codes."""


def make_issuer(port: int = 0) -> tuple[ThreadingHTTPServer, Issuer]:
    """The issuer's server, bound and not yet serving.

    Raises:
        SettingError: this process runs in a cloud.
    """
    if Deployment.parse(os.environ).cloud != "local":
        raise SettingError("the development issuer believes everybody and never runs in a cloud")

    class Visit(_Visit):
        """A visit to this issuer."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Visit)
    server.daemon_threads = True
    Visit.issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    return server, Visit.issuer


def main(arguments: list[str] | None = None) -> int:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(prog="issuer", description="A development identity provider for this machine.")
    parser.add_argument("--port", type=int, default=8094)
    try:
        server, issuer = make_issuer(parser.parse_args(arguments).port)
    except SettingError as error:
        print(f"the issuer cannot start: {error}", file=sys.stderr)
        return 1
    print(f"development sign-in at {issuer.address}; set THEROUTER_ISSUER={issuer.address}", flush=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
