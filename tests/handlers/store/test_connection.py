"""TLS to a database: a server that speaks just enough of the protocol, with certificates of our own making."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pg8000.exceptions import Error

from handlers.errors import Unavailable
from handlers.store.connection import discard, open_connection
from handlers.store.dsn import Dsn
from handlers.store.pool import Pool
from tests.database import Database
from tests.waiting import PATIENCE_S

PASSWORD = "the-password"


class Authority(NamedTuple):
    """A certificate that signs, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: Authority | None) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer.certificate.subject if issuer else _name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        address: list[x509.GeneralName] = (
            [x509.IPAddress(ipaddress.ip_address(subject))] if subject[0].isdigit() else [x509.DNSName(subject)]
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(address), critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority(_certificate(name, key, None), key)
    (folder / f"{name}.pem").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    return authority


class TlsServer:
    """Answers PostgreSQL's request for TLS, then records what a client says in confidence."""

    def __init__(self, folder: Path, host: str, authority: Authority) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        chain = folder / f"{host}.server.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + _certificate(host, key, authority).public_bytes(serialization.Encoding.PEM)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError), closing(self._listener.accept()[0]) as plain:
            plain.recv(8)
            plain.sendall(b"S")
            with closing(self._context.wrap_socket(plain, server_side=True)) as confidential:
                self.heard = confidential.recv(1024)

    def close(self) -> None:
        self._listener.close()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return _authority(tmp_path, "ours")


@pytest.fixture(params=["127.0.0.1"])
def trusted(tmp_path: Path, authority: Authority) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path, "127.0.0.1", authority)
    yield server
    server.close()


def _dsn(port: int, tls: Path) -> Dsn:
    return Dsn(user="gateway", password=PASSWORD, database="d", host="127.0.0.1", port=port, tls=str(tls))


def test_a_server_that_our_authority_vouches_for_is_spoken_to(trusted: TlsServer, tmp_path: Path) -> None:
    with pytest.raises((Error, OSError)):  # it hangs up after the first words
        open_connection(_dsn(trusted.port, tmp_path / "ours.pem"), timeout_s=PATIENCE_S)
    trusted.close()
    assert b"user\0gateway\0" in trusted.heard


def test_a_server_that_another_authority_vouches_for_hears_nothing(trusted: TlsServer, tmp_path: Path) -> None:
    _authority(tmp_path, "theirs")
    with pytest.raises(ssl.SSLCertVerificationError):
        open_connection(_dsn(trusted.port, tmp_path / "theirs.pem"), timeout_s=PATIENCE_S)
    trusted.close()
    assert trusted.heard == b""


def test_a_server_with_another_name_hears_nothing(tmp_path: Path, authority: Authority) -> None:
    server = TlsServer(tmp_path, "db.example.com", authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        open_connection(_dsn(server.port, tmp_path / "ours.pem"), timeout_s=PATIENCE_S)
    server.close()
    assert server.heard == b""


@pytest.mark.claim("C57")
def test_through_a_door_the_certificate_is_still_the_databases(tmp_path: Path, authority: Authority) -> None:
    """The door passes bytes on; it cannot be the database, and nobody can be the door who has no such certificate."""
    server = TlsServer(tmp_path, "db.example.com", authority)
    behind = Dsn(
        user="gateway",
        password=PASSWORD,
        database="d",
        host="db.example.com",
        door=f"127.0.0.1:{server.port}",
        tls=str(tmp_path / "ours.pem"),
    )
    with pytest.raises((Error, OSError)):  # it hangs up after the first words
        open_connection(behind, timeout_s=PATIENCE_S)
    server.close()
    assert b"user\0gateway\0" in server.heard
    impostor = TlsServer(tmp_path, "door.example.com", authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        open_connection(msgspec.structs.replace(behind, door=f"127.0.0.1:{impostor.port}"), timeout_s=PATIENCE_S)
    impostor.close()
    assert impostor.heard == b""


def test_the_embedded_server_has_no_tls_and_is_refused_where_tls_is_asked_for(
    database: Database, tmp_path: Path, authority: Authority
) -> None:
    assert authority.certificate.subject == _name("ours")
    pool = Pool(_dsn(database.server.port, tmp_path / "ours.pem"))
    with pytest.raises(Unavailable):
        pool.run("gateway_watch")
    pool.close()


def test_the_socket_has_no_delay_and_notices_dead_peers(database: Database) -> None:
    local = database.dsn("gateway")
    dsn = Dsn(
        user=local.user,
        password=local.password,
        database=local.database,
        host="127.0.0.1",
        port=database.server.port,
        local=True,
    )
    connection = open_connection(dsn, timeout_s=2.5)
    sock: socket.socket = connection._usock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    assert sock.gettimeout() == 2.5
    discard(connection)
    assert sock.fileno() == -1
