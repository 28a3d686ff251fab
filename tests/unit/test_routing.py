"""Which account takes a payment, and which field is to blame when none does: one line a case."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.channel import Flow
from adapters.discovery import discover
from gateway.domain.errors import (
    AmountInvalid,
    AuthCodeUnrecognized,
    FieldInvalid,
    FieldMissing,
)
from gateway.flow.accounts import Candidate, RemoteAccount
from gateway.flow.choose.routing import Choice, local_choices, remote_choices
from gateway.flow.choose.wish import LocalWish, RemoteWish, wish
from gateway.flow.commands import Caller, PayCommand
from gateway.http.bodies import CashBody, PayBody
from gateway.http.payments import pay_command
from security.secret import Secret
from tests.fakes.accounts import local_account, remote_account
from tests.shelf import Shelf

MANIFESTS = {
    name: manifest for name, manifest in discover().items() if name in ("alipay", "wechat", "cash")
}
ALIPAY_CODE, WECHAT_CODE, NOBODYS_CODE = (
    "280000000000000000",
    "130000000000000000",
    "990000000000000000",
)


def account(name: str, channel: str, store: str | None = None, **fields: Any) -> RemoteAccount:
    return remote_account(name, MANIFESTS[channel], store_id=store, **fields)


NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
SHELF = Shelf(
    "m1",
    ("s1", "s2"),
    [
        account("off", "alipay", enabled=False),
        account("ali_s2", "alipay", "s2"),
        account("ali_1", "alipay"),
        account("ali_2", "alipay"),
        account("wx", "wechat", "s1"),
        local_account("till"),
    ],
    MANIFESTS,
)
TILL = Caller(key_id="k", merchant_id="m1", store_id="s1", terminal_id="t1", role="terminal")
TILL_OF_M2 = Caller(key_id="k", merchant_id="m2", store_id="s1", terminal_id="t1", role="terminal")
OFFICE = Caller(key_id="k", merchant_id="m1", store_id=None, terminal_id=None, role="merchant")


def command(**fields: Any) -> PayCommand:
    """What the edge makes of such a body."""
    given: dict[str, Any] = {"order_no": "A1", "amount": 1000, "currency": "CNY"}
    if "auth_code" in fields:
        fields["auth_code"] = Secret(fields["auth_code"])
    if "tendered" in fields:
        fields["cash"] = CashBody(tendered=fields.pop("tendered"))
    if "flow" in fields:
        fields["flow"] = Flow(fields["flow"])
    return pay_command(PayBody(**(given | fields)))


def choices(caller: Caller, fields: dict[str, Any]) -> Sequence[Choice[Candidate]]:
    match wish(command(**fields), caller, SHELF):
        case RemoteWish(tender=tender):
            return remote_choices(tender, SHELF, NOON)
        case LocalWish(tender=tender):
            return local_choices(tender, SHELF, NOON)


@pytest.mark.parametrize(
    ("caller", "fields", "chosen"),
    [
        (TILL, {"auth_code": ALIPAY_CODE}, ("ali_1", "code", "s1")),
        (TILL, {"auth_code": WECHAT_CODE}, ("wx", "code", "s1")),
        (TILL, {"auth_code": ALIPAY_CODE, "method": "alipay"}, ("ali_1", "code", "s1")),
        (TILL, {"auth_code": ALIPAY_CODE, "store_id": "s1"}, ("ali_1", "code", "s1")),
        (OFFICE, {"auth_code": ALIPAY_CODE, "store_id": "s2"}, ("ali_s2", "code", "s2")),
        (OFFICE, {"auth_code": ALIPAY_CODE, "store_id": "s1"}, ("ali_1", "code", "s1")),
        (TILL, {"method": "alipay", "flow": "qr"}, ("ali_1", "qr", "s1")),
        (TILL, {"method": "wechat", "flow": "qr", "expires_in": 60}, ("wx", "qr", "s1")),
        (TILL, {"method": "cash"}, ("till", "code", "s1")),
        (TILL, {"method": "cash", "tendered": 1000}, ("till", "code", "s1")),
        (OFFICE, {"method": "cash", "store_id": "s2", "tendered": 2000}, ("till", "code", "s2")),
    ],
)
def test_chosen(caller, fields, chosen):
    tender = wish(command(**fields), caller, SHELF).tender
    assert (choices(caller, fields)[0].account.id, tender.flow, tender.store_id) == chosen


@pytest.mark.parametrize(
    ("caller", "fields", "error", "blamed"),
    [
        (TILL, {}, FieldMissing, "method"),
        (TILL, {"flow": "code"}, FieldMissing, "method"),
        (TILL, {"flow": "qr"}, FieldMissing, "method"),
        (TILL, {"method": "alipay", "flow": "code"}, FieldMissing, "auth_code"),
        (TILL, {"method": "alipay", "tendered": 1000}, FieldInvalid, "cash"),
        (TILL, {"method": "alipay", "flow": "qr", "tendered": 1000}, FieldInvalid, "cash"),
        (TILL, {"auth_code": NOBODYS_CODE}, AuthCodeUnrecognized, "auth_code"),
        (TILL, {"auth_code": WECHAT_CODE, "method": "alipay"}, AuthCodeUnrecognized, "auth_code"),
        (TILL, {"method": "alipay"}, FieldMissing, "auth_code"),
        (
            TILL,
            {"method": "alipay", "flow": "qr", "auth_code": ALIPAY_CODE},
            FieldInvalid,
            "auth_code",
        ),
        (TILL, {"method": "cash", "auth_code": ALIPAY_CODE}, FieldInvalid, "auth_code"),
        (TILL, {"method": "cash", "flow": "qr"}, FieldInvalid, "flow"),
        (TILL, {"method": "bitcoin"}, FieldInvalid, "method"),
        (TILL, {"auth_code": ALIPAY_CODE, "expires_in": 60}, FieldInvalid, "expires_in"),
        (TILL, {"auth_code": ALIPAY_CODE, "tendered": 1000}, FieldInvalid, "cash"),
        (TILL, {"method": "cash", "tendered": 999}, FieldInvalid, "cash.tendered"),
        (TILL, {"auth_code": ALIPAY_CODE, "amount": 10_000_000_001}, AmountInvalid, "amount"),
        (TILL, {"auth_code": ALIPAY_CODE, "store_id": "s2"}, FieldInvalid, "store_id"),
        (OFFICE, {"auth_code": ALIPAY_CODE}, FieldMissing, "store_id"),
        (OFFICE, {"auth_code": ALIPAY_CODE, "store_id": "s9"}, FieldInvalid, "store_id"),
    ],
)
def test_refused_before_anything_is_written(caller, fields, error, blamed):
    with pytest.raises(error) as refused:
        wish(command(**fields), caller, SHELF)
    assert refused.value.field == blamed
    assert all(
        str(code) not in str(refused.value) for code in (ALIPAY_CODE, WECHAT_CODE, NOBODYS_CODE)
    )


def test_the_reason_is_kept():
    (first, _) = choices(TILL, {"auth_code": ALIPAY_CODE})
    assert first.why == "number 1 by priority of: ali_1 ali_2"


def test_no_account_serves_this_store():
    assert choices(OFFICE, {"auth_code": WECHAT_CODE, "store_id": "s2"}) == ()


def test_another_merchants_accounts_do_not_exist():
    assert choices(TILL_OF_M2, {"auth_code": ALIPAY_CODE}) == ()


@pytest.mark.parametrize("flow", list(Flow))
def test_every_wallet_takes_both_flows(flow):
    for channel in ("alipay", "wechat"):
        assert flow in MANIFESTS[channel].flows
