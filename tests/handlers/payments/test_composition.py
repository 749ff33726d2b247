from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from handlers.local.stripe_standin import make_keys
from handlers.payments.composition import check_address, mode_of, open_company
from handlers.settings import Deployment, SettingError

PROGRAM = """
import sys, msgspec
from handlers.payments.composition import open_company
from handlers.settings import Deployment
region, content = sys.argv[1], sys.stdin.buffer.read()
deployment = Deployment.parse({"THEROUTER_REGION": region, "THEROUTER_CLOUD": "local"})
company, wallet = open_company(deployment, lambda _: content, public_url="https://x.example", base_url="http://127.0.0.1:1")
print(company.provider, wallet is not None, sorted({m.split(".")[0] for m in sys.modules} & {"stripe", "wechatpayv3"}))
"""


def _deployment(**variables: str) -> Deployment:
    return Deployment.parse({"THEROUTER_REGION": "global", "THEROUTER_CLOUD": "local", **variables})


@pytest.mark.claim("C52")
@pytest.mark.parametrize(
    ("region", "said"), [("global", "stripe True ['stripe']"), ("china", "wechat False ['wechatpayv3']")]
)
def test_the_region_decides_the_company_and_the_others_code_is_not_even_loaded(region: str, said: str) -> None:
    from handlers.local.wechat_standin import make_account  # noqa: PLC0415 -- generates RSA keys: only here

    secrets = make_keys() if region == "global" else make_account().secrets
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, region],
        input=msgspec.json.encode(secrets._asdict()),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().strip() == said


def test_live_is_production_alone() -> None:
    modes = {
        name: mode_of(_deployment(THEROUTER_ENVIRONMENT=name)) for name in ("production", "staging", "small", "local")
    }
    assert modes == {"production": "live", "staging": "test", "small": "test", "local": "test"}


@pytest.mark.claim("A95")
def test_a95_the_boot_names_what_is_missing() -> None:
    with pytest.raises(SettingError, match="THEROUTER_PUBLIC_URL"):
        open_company(_deployment(), lambda _: b"{}", public_url="")
    with pytest.raises(SettingError, match=r"payments/stripe: secret_key is empty"):
        open_company(_deployment(), lambda _: b"{}", public_url="https://x.example")
    with pytest.raises(SettingError, match=r"payments/wechat: api_v3_key is empty"):
        open_company(_deployment(THEROUTER_REGION="china"), lambda _: b"{}", public_url="https://x.example")


def test_another_address_of_the_company_is_for_stand_ins_on_this_machine() -> None:
    assert check_address(_deployment(), "http://127.0.0.1:1/") == "http://127.0.0.1:1"
    assert check_address(_deployment(THEROUTER_CLOUD="aws"), "") == ""
    for deployment, url in (
        (_deployment(), "https://api.stripe.com.evil.example"),
        (_deployment(), "http://10.0.0.1"),
        (_deployment(THEROUTER_CLOUD="aws"), "http://127.0.0.1:1"),
    ):
        with pytest.raises(SettingError, match="THEROUTER_BASE_URL"):
            check_address(deployment, url)
