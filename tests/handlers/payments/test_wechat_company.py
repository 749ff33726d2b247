"""A65, through the company's own library and a stand-in that checks every signature."""

from __future__ import annotations

import msgspec
import pytest

from handlers.local.payments_wechat_crypto import new_platform
from handlers.payments.wechat_company import REFRESH_S_MIN
from tests.database import Database
from tests.handlers.payments.rooms import WeChatRoom, open_wechat_room

PROBE = "WECHATPAY/SIGNTEST/" + "A" * 325


def _paid(room: WeChatRoom) -> bytes:
    room.pay(room.open(room.tenant(), 880))
    return room.standin.outbox[-1]


HEADERS: tuple[dict[str, str], ...] = (
    {"Wechatpay-Serial": ""},
    {"Wechatpay-Serial": "zz"},
    {"Wechatpay-Serial": "PUB_KEY_ID_0000000000000000000000000000"},
    {"Wechatpay-Serial": "F" * 40},
    {"Wechatpay-Serial": "-1"},
    {"Wechatpay-Nonce": ""},
    {"Wechatpay-Nonce": "a\nb"},
    {"Wechatpay-Timestamp": ""},
    {"Wechatpay-Timestamp": "now"},
    {"Wechatpay-Timestamp": "1e9"},
    {"Wechatpay-Timestamp": "\u0663" * 10},
    {"Wechatpay-Signature": ""},
    {"Wechatpay-Signature": PROBE},
    {"Wechatpay-Signature": "A" * 344},
    {"Wechatpay-Signature": "\u00e4" * 344},
    {"Wechatpay-Signature-Type": ""},
    {"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"},
)


@pytest.mark.claim("A65")
def test_a65_malformed_unknown_and_probing_headers_are_401_and_never_500(wechat_room: WeChatRoom) -> None:
    body = _paid(wechat_room)
    for change in HEADERS:
        answer = wechat_room.notify(body, {**wechat_room.standin.sign(body), **change})
        assert (answer.status, answer.content["error"]["code"]) == (401, "invalid_signature"), change
    assert wechat_room.notify(body, {}).status == 401
    assert wechat_room.deliver(body).content["outcome"] == "credited"


@pytest.mark.claim("A65")
def test_a65_a_body_written_anew_is_refused_although_it_means_the_same(wechat_room: WeChatRoom) -> None:
    body = _paid(wechat_room)
    headers = wechat_room.standin.sign(body)
    for changed in (
        msgspec.json.format(body),
        body + b"\n",
        body + b" ",
        b"\xef\xbb\xbf" + body,
        body.replace(b"TRANSACTION.SUCCESS", b"TRANSACTION\\u002eSUCCESS"),
        body[:-1],
        b"\xff\xfe",
        b"",
    ):
        assert wechat_room.notify(changed, headers).status == 401
    assert wechat_room.notify(body, headers).status == 200


@pytest.mark.claim("A65")
def test_a65_a_wrong_gcm_tag_under_a_good_signature_is_refused(wechat_room: WeChatRoom) -> None:
    envelope = msgspec.json.decode(_paid(wechat_room))
    sealed = envelope["resource"]["ciphertext"]
    for resource in (
        {"ciphertext": ("A" if sealed[0] != "A" else "B") + sealed[1:]},
        {"ciphertext": "AAAA"},
        {"ciphertext": ""},
        {"ciphertext": "not base64!"},
        {"nonce": "x" * 12},
        {"associated_data": "refund"},
        {"algorithm": "AEAD_SM4_GCM"},
    ):
        body = msgspec.json.encode({**envelope, "resource": {**envelope["resource"], **resource}})
        assert wechat_room.deliver(body).status == 401
    for broken in (b"{}", b"[]", b'{"resource_type":"encrypt-resource","resource":5}', b"null"):
        assert wechat_room.deliver(broken).status == 401


@pytest.mark.claim("A65")
def test_a65_a_stranger_with_a_key_of_his_own_is_refused(wechat_room: WeChatRoom) -> None:
    body = _paid(wechat_room)
    stranger = new_platform()
    now_s = int(wechat_room.clock())
    assert wechat_room.notify(body, stranger.sign(body, now_s)).status == 401
    posing = stranger._replace(serial=wechat_room.standin.identity.serial)
    assert wechat_room.notify(body, posing.sign(body, now_s)).status == 401


def test_a_certificate_rotated_between_two_notifications_is_fetched_once(database: Database) -> None:
    with open_wechat_room(database) as room:
        tenant = room.tenant()
        room.pay(room.open(tenant, 880))
        assert room.deliver(room.standin.outbox[-1]).status == 200
        downloads = room.standin.certificate_downloads
        room.standin.rotate()
        room.pay(room.open(tenant, 120))
        assert room.deliver(room.standin.outbox[-1]).status == 200
        assert room.credit_minor(tenant) == 1_000
        assert room.standin.certificate_downloads == downloads + 1


@pytest.mark.claim("A65")
def test_a65_unknown_serials_cause_one_download_a_minute_and_forget_no_certificate(database: Database) -> None:
    with open_wechat_room(database) as room:
        body = _paid(room)
        downloads = room.standin.certificate_downloads
        for number in range(50):
            headers = {**room.standin.sign(body), "Wechatpay-Serial": f"{number + 1:040X}"}
            assert room.notify(body, headers).status == 401
        assert room.standin.certificate_downloads == downloads + 1
        room.clock.ahead_s += REFRESH_S_MIN + 1
        assert room.notify(body, {**room.standin.sign(body), "Wechatpay-Serial": "F" * 40}).status == 401
        assert room.standin.certificate_downloads == downloads + 2
        assert room.deliver(body).status == 200


def test_while_the_company_is_away_nothing_is_the_customers_fault(database: Database) -> None:
    with open_wechat_room(database) as room:
        tenant = room.tenant()
        opened = room.open(tenant, 880)
        room.standin.close()
        answer = room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500})
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert room.call(tenant.key, "GET", f"/payments/orders/{opened['order_id']}").content["state"] == "pending"


def test_an_answer_whose_signature_is_wrong_is_not_believed(database: Database) -> None:
    with open_wechat_room(database) as room:
        tenant = room.tenant()
        genuine = room.standin.platforms[-1]
        room.standin.platforms[-1] = new_platform()._replace(serial=genuine.serial)
        answer = room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500})
        assert answer.status == 503


def test_an_order_that_the_company_does_not_know_stays_pending(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    wechat_room.state.orders.clear()
    wechat_room.age(60)
    assert wechat_room.call(tenant.key, "GET", f"/payments/orders/{opened['order_id']}").content["state"] == "pending"
    assert wechat_room.room.questions.run().failed == 0
