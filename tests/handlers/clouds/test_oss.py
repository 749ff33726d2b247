"""OSS: the signature is the vendor's own, and an object that is there stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from handlers.clouds.acs3 import Credentials
from handlers.clouds.archive import ArchiveFailed, open_archive
from handlers.clouds.oss import OssArchive, sign
from handlers.clouds.secrets import SecretError
from handlers.settings import Variable

BUCKET = "therouter-production-audit-1"
NAME = "checkpoints/000000000012.note"
AT = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
# What the vendor's SDK (oss2 2.19) sends for the same request, key and time.
SIGNATURES = {
    "": "bcbc0d5f9bc639170f12ea1910029036e7dbf6d803d409a15962b4d0c2640d73",
    "token-of-a-function": "1a81bfa52fcdcb4480108f2dac9a1021c566c22c38a7416872d8e95d2121e631",
}


@pytest.mark.parametrize("token", SIGNATURES)
def test_the_signature_is_that_of_the_vendors_sdk(token: str) -> None:
    headers = {"content-type": "application/octet-stream", "x-oss-forbid-overwrite": "true"}
    identity = Credentials("id-of-a-test", "secret-of-a-test", token)
    signed = sign("PUT", f"/{BUCKET}/{NAME}", headers, identity, now=AT)
    scope = "id-of-a-test/20261123/cn-hangzhou/oss/aliyun_v4_request"
    assert signed["authorization"] == f"OSS4-HMAC-SHA256 Credential={scope}, Signature={SIGNATURES[token]}"
    assert signed.get("x-oss-security-token", "") == token


class Bucket(ThreadingHTTPServer):
    """Answers as a bucket with a retention policy does."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = False
        super().__init__(("127.0.0.1", 0), Visit)


class Visit(BaseHTTPRequestHandler):
    server: Bucket

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 403 if self.server.refuses else 409 if self.path in self.server.objects else 200
        if status == 200:
            assert self.headers["x-oss-forbid-overwrite"] == "true"
            self.server.objects[self.path] = body
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def variables(bucket: Bucket) -> dict[str, str]:
    return {
        Variable.ARCHIVE: BUCKET,
        Variable.CLOUD: "aliyun",
        Variable.REGION: "china",
        "ALIBABA_CLOUD_OSS_ENDPOINT": f"http://127.0.0.1:{bucket.server_address[1]}",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "id",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "made-up",
    }


@pytest.mark.claim("C60")
def test_c60_a_copy_in_oss_is_written_once(bucket: Bucket) -> None:
    archive = open_archive(variables(bucket))
    assert isinstance(archive, OssArchive)
    archive.keep(NAME, b"first")
    archive.keep(NAME, b"second")
    assert bucket.objects == {f"/{NAME}": b"first"}
    bucket.refuses = True
    with pytest.raises(ArchiveFailed, match="did not take"):
        archive.keep("checkpoints/2.note", b"")


@pytest.mark.claim("C46")
def test_c46_no_copy_leaves_the_region(bucket: Bucket) -> None:
    for elsewhere in (
        "https://oss-us-east-1.aliyuncs.com",
        "https://s3.amazonaws.com",
        "https://dm.aliyuncs.com.evil.example",
    ):
        with pytest.raises(SecretError, match="region_restricted"):
            OssArchive(BUCKET, variables(bucket) | {"ALIBABA_CLOUD_OSS_ENDPOINT": elsewhere})
    bucket.server_close()
    with pytest.raises(ArchiveFailed, match="cannot be reached"):
        OssArchive(BUCKET, variables(bucket)).keep(NAME, b"")
