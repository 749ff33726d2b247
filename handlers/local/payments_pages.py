"""The one page of a payment stand-in: what is to be paid, and the buttons that decide."""

from __future__ import annotations

import html

from handlers.local.payments_http import Reply

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.2rem}button{font:inherit;padding:.5rem 1.2rem;margin-right:.5rem;cursor:pointer}"
    ".amount{font-size:2rem;margin:.5rem 0 1.5rem}small{color:#666}"
)


def payment_page(company: str, amount: str, buttons: dict[str, str], note: str = "") -> Reply:
    """A page.

    Args:
        company: whose stand-in this is.
        amount: what is to be paid, for people.
        buttons: the action that each button sends -> what stands on it; none when there is nothing left to do.
        note: a sentence about what happened.
    """
    shown = "".join(
        f'<button name="action" value="{html.escape(action)}">{html.escape(text)}</button>'
        for action, text in buttons.items()
    )
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(company)} (stand-in)</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(company)} <small>stand-in on this machine</small></h1>"
        f"<p class=amount>{html.escape(amount)}</p><p>{html.escape(note)}</p><form method=post>{shown}</form>"
        "<p><small>No money moves here, and no card number is asked for.</small></p></html>"
    )
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
    return Reply(200, page.encode(), "text/html; charset=utf-8", headers)
