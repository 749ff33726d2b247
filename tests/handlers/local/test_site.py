from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from handlers.local.postgres import free_port
from handlers.local.processes import plain_environment

ENTRY = "handlers.site.function.handler"
LANGUAGES = {"global": "en", "china": "zh-CN"}


@pytest.mark.parametrize("region", LANGUAGES)
def test_the_site_is_served_here_as_in_the_regions_cloud(region: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {"THEROUTER_REGION": region, "THEROUTER_CLOUD": "local", "THEROUTER_PUBLIC_URL": url}
    command = [sys.executable, "-m", "handlers.local.functions", ENTRY, "--port", str(port)]
    with subprocess.Popen(command, env=plain_environment(variables), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
                trust = client.get("/trust")
                head = client.head("/trust")
                security = client.get("/.well-known/security.txt")
                english = client.get("/trust", params={"lang": "en"})
                missing = client.get("/nothing", headers={"accept": "text/html"})
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert (trust.status_code, head.status_code, security.status_code, missing.status_code) == (200, 200, 200, 404)
    assert f'<html lang="{LANGUAGES[region]}">' in trust.text
    assert f'<html lang="{LANGUAGES[region]}">' in missing.text
    assert '<html lang="en">' in english.text
    assert f"Canonical: {url}/.well-known/security.txt" in security.text
    assert head.content == b""
    assert "default-src 'none'" in trust.headers["content-security-policy"]


def test_a_missing_address_stops_the_start() -> None:
    command = [sys.executable, "-m", "handlers.local.functions", ENTRY, "--port", "0"]
    done = subprocess.run(
        command, env=plain_environment({"THEROUTER_CLOUD": "local"}), capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert b"THEROUTER_PUBLIC_URL" in done.stderr
