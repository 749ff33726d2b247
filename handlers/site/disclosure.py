"""How to report a vulnerability: the policy page, and security.txt for programs (RFC 9116)."""

from __future__ import annotations

from datetime import date, timedelta

from handlers.site.bulletins import PATH as BULLETINS_PATH
from handlers.site.frame import Page, link
from handlers.site.markup import Child, Markup, element, join
from handlers.site.texts import LANGUAGES, Texts
from handlers.site.trust import CONTACT

VALID_DAYS = 330
"""Below the year that RFC 9116 recommends; a test asks for renewal 30 days before the end."""
PATH = "/.well-known/security.txt"
POLICY_PATH = "/security/policy"


def write_security_text(public_url: str, reviewed: date) -> str:
    """security.txt as it stands when somebody last reviewed it.

    Args:
        public_url: scheme and host of the site.
        reviewed: the day of that review; the file expires `VALID_DAYS` later.
    """
    expires = reviewed + timedelta(days=VALID_DAYS)
    fields = {
        "Contact": f"mailto:{CONTACT}",
        "Expires": f"{expires.isoformat()}T00:00:00Z",
        "Preferred-Languages": ", ".join(LANGUAGES),
        "Canonical": f"{public_url}{PATH}",
        "Policy": f"{public_url}{POLICY_PATH}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def make_policy_page(texts: Texts) -> Page:
    """The policy for people."""
    mail = element("p", element("a", CONTACT, href=f"mailto:{CONTACT}"), class_="contact")
    steps = element("ol", *(element("li", texts[f"policy.next_{number}"]) for number in (1, 2, 3)))
    content = join(
        (
            _section("report", texts, element("p", texts["policy.report"]), mail),
            _section("next", texts, steps),
            *(_section(name, texts, element("p", texts[f"policy.{name}"])) for name in ("safe", "scope", "notice")),
            element("p", element("a", texts["bulletins.title"], href=link(BULLETINS_PATH, texts))),
        )
    )
    return Page(POLICY_PATH, texts["policy.title"], texts["policy.lead"], content)


def _section(name: str, texts: Texts, *children: Child) -> Markup:
    return element("section", element("h2", texts[f"policy.{name}_heading"]), *children, id=name)
