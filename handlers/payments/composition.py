"""Put the room together from its settings and secrets; refuse to, when one of them is wrong.

The company follows from the region, fixed at deployment. Only its module is imported: in the global region no WeChat Pay code
is loaded, in china no Stripe code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from handlers.clouds.resolver import IsolatedResolver
from handlers.payments.authentication import Authenticator
from handlers.payments.company import Company, Wallet
from handlers.payments.credentials import STRIPE_DOCUMENT, WECHAT_DOCUMENT, read_stripe_secrets, read_wechat_secrets
from handlers.payments.intake import Intake
from handlers.payments.profiles import Profiles
from handlers.payments.questions import Questions
from handlers.payments.reconciliation import Reconciliation
from handlers.payments.routes import open_resolver
from handlers.payments.topups import TopUps
from handlers.settings import Deployment, SettingError, Variable
from handlers.store.payments import PaymentStore
from handlers.store.restoration import RestoreGate
from handlers.telemetry.logs import Log

RETURN_PATH = "/payments/return"
"""Where the company's page sends the customer back to."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Room(NamedTuple):
    """The room, ready to serve."""

    resolver: IsolatedResolver
    questions: Questions
    reconciliation: Reconciliation
    gate: RestoreGate

    def answer(self, event: Mapping[str, Any], context: object) -> dict[str, Any]:
        """Serve one ALB event."""
        return self.resolver.resolve(event, context)


def mode_of(deployment: Deployment) -> str:
    """Live in production, test everywhere else."""
    return "live" if deployment.environment == "production" else "test"


def check_address(deployment: Deployment, base_url: str) -> str:
    """The company's address when it is not its own: a stand-in on this machine.

    Raises:
        SettingError: it is set outside one machine, or leads off it.
    """
    if base_url and (deployment.cloud != "local" or urlsplit(base_url).hostname not in LOOPBACK):
        raise SettingError(f"{Variable.BASE_URL} of the payments room is for a stand-in on this machine only: unset it")
    return base_url.rstrip("/")


def open_company(
    deployment: Deployment,
    fetch_secret: Callable[[str], bytes],
    *,
    public_url: str,
    base_url: str = "",
    clock: Callable[[], float] = time.time,
) -> tuple[Company, Wallet | None]:
    """The region's company, and its wallet if it has one.

    Args:
        deployment: decides company and mode.
        fetch_secret: the content of a secret by its short name.
        public_url: scheme and host that the company and its customers reach us at.
        base_url: address of a stand-in; empty for the company's own.
        clock: Unix seconds.
    """
    base_url = check_address(deployment, base_url)
    if not public_url:
        raise SettingError(f"{Variable.PUBLIC_URL} is not set: the payment company sends its notifications there")
    public_url = public_url.rstrip("/")
    mode = mode_of(deployment)
    if deployment.region == "china":
        from handlers.payments.wechat_company import WeChatCompany  # noqa: PLC0415 -- not loaded in the other region

        wechat = read_wechat_secrets(fetch_secret(WECHAT_DOCUMENT))
        notify_url = f"{public_url}/payments/webhooks/{WeChatCompany.provider}"
        return WeChatCompany(wechat, mode=mode, notify_url=notify_url, base_url=base_url, clock=clock), None
    from handlers.payments.stripe_company import StripeCompany  # noqa: PLC0415 -- not loaded in the other region

    secrets = read_stripe_secrets(fetch_secret(STRIPE_DOCUMENT), mode)
    stripe = StripeCompany(secrets, mode=mode, return_url=public_url + RETURN_PATH, base_url=base_url, clock=clock)
    return stripe, stripe


def open_room(
    store: PaymentStore,
    company: Company,
    wallet: Wallet | None,
    authenticator: Authenticator,
    gate: RestoreGate,
    *,
    mode: str,
    log: Log,
    clock: Callable[[], float] = time.time,
) -> Room:
    """The room over its parts."""
    intake = Intake(store, company, wallet, log)
    topups = TopUps(store, company, wallet, intake, mode=mode, clock=clock)
    resolver = open_resolver(
        company=company,
        intake=intake,
        topups=topups,
        profiles=Profiles(store, wallet),
        wallet=wallet is not None,
        authenticator=authenticator,
        gate=gate,
        log=log,
    )
    questions = Questions(store, company, wallet, intake, topups, mode=mode, log=log, clock=clock)
    return Room(resolver, questions, Reconciliation(store, company, intake, log), gate)
