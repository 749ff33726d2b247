from __future__ import annotations

import ssl

import pytest

from handlers.settings import DatabaseSettings
from handlers.store.dsn import Dsn, dsn_of


def test_the_password_is_not_shown() -> None:
    dsn = Dsn(user="gateway", password="hunter2", database="d", socket_dir="/run", local=True)
    assert "hunter2" not in f"{dsn} {dsn!r}"


@pytest.mark.parametrize(
    ("host", "local"), [("db.example.com", False), ("db.example.com", True), ("127.0.0.1", False), ("", False)]
)
def test_without_tls_only_this_machine_and_only_when_it_is_the_one_machine_system(host: str, local: bool) -> None:
    with pytest.raises(ValueError, match="TLS"):
        Dsn(user="u", password="p", database="d", host=host, socket_dir="" if host else "/run", local=local)


def test_a_host_or_a_socket_and_not_both() -> None:
    with pytest.raises(ValueError, match="either"):
        Dsn(user="u", password="p", database="d", host="127.0.0.1", socket_dir="/run", local=True)
    with pytest.raises(ValueError, match="either"):
        Dsn(user="u", password="p", database="d", local=True)


def test_the_tls_context_checks_certificate_and_name() -> None:
    certificates = ssl.get_default_verify_paths().cafile or ""
    context = Dsn(user="u", password="p", database="d", host="db.example.com", tls=certificates).tls_context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_settings_name_a_host_or_a_socket_directory() -> None:
    socket = DatabaseSettings(host="/run/pg", port=6000, name="d", role="site", authorities="")
    assert dsn_of(socket, "p", local=True) == Dsn(
        user="site", password="p", database="d", socket_dir="/run/pg", port=6000, local=True
    )
    remote = DatabaseSettings(host="db.example.com", port=5432, name="d", role="site", authorities="/ca.pem")
    assert dsn_of(remote, "p", local=False).tls == "/ca.pem"
