"""What people read: every state and every reason has a sentence in both languages."""

import re
from typing import Any

import pytest

from gateway.domain import verdicts
from gateway.domain.errors import leaves
from gateway.domain.outcomes import FailureCode
from gateway.domain.payment import Payment
from gateway.domain.states import PAYMENT_STATES, REFUND_STATES
from gateway.domain.statuses import RefundStatus
from gateway.domain.verdicts import (
    FAILURES,
    VERDICTS,
    Verdict,
    VerdictCode,
    Words,
    refund_verdict,
    verdict_for_others,
    verdict_of,
)
from gateway.domain.words import Origin
from tests.unit.paying import NOW, attempt, payment

HAN = re.compile(r"[一-鿿]")

MERCHANT, LATE, SURPLUS = Origin.MERCHANT, Origin.LATE, Origin.SURPLUS
UNDER_WAY = ("requested", "processing", "in_doubt")
TITLES = {"wallet": Words("钱包", "Wallet")}
ADVICE = Words("请换新单号", "Take a new number")

# status, fields of the payment -> what the request hears that made it
OWN = [
    ("processing", {}, VERDICTS[VerdictCode.WAIT]),
    ("awaiting_payer", {}, verdicts.AWAITING_PAYER),
    ("awaiting_payer", {"qr_code": "https://qr"}, verdicts.CODE_SHOWN),
    ("in_doubt", {}, VERDICTS[VerdictCode.DO_NOT_CHARGE_AGAIN]),
    ("in_doubt", {"cancel_requested_at": NOW}, verdicts.CANCELING),
    ("in_doubt", {"overridden_at": NOW}, verdicts.OVERRIDDEN),
    ("in_doubt", {"frozen_at": NOW, "overridden_at": NOW}, verdicts.FROZEN),
    ("failed", {}, VERDICTS[VerdictCode.SAFE_TO_CHARGE_AGAIN]),
    ("expired", {}, VERDICTS[VerdictCode.SAFE_TO_CHARGE_AGAIN]),
    ("canceled", {}, VERDICTS[VerdictCode.SAFE_TO_CHARGE_AGAIN]),
    ("failed", {"overrides": "pay_1"}, verdicts.SAFE_BESIDE_OVERRIDDEN),
    ("expired", {"overrides": "pay_1"}, verdicts.SAFE_BESIDE_OVERRIDDEN),
    ("canceled", {"overrides": "pay_1"}, verdicts.SAFE_BESIDE_OVERRIDDEN),
    ("in_doubt", {"overrides": "pay_1"}, VERDICTS[VerdictCode.DO_NOT_CHARGE_AGAIN]),
    ("paid_late", {}, verdicts.LATE_UNDER_WAY),
    ("paid_late", {"late_refund": "processing"}, verdicts.LATE_UNDER_WAY),
    ("paid_late", {"late_refund": "needs_action"}, VERDICTS[VerdictCode.REFUND_NEEDS_ACTION]),
    ("paid_late", {"late_refund": "succeeded"}, VERDICTS[VerdictCode.REFUNDED]),
]

# returned, reserved of 10.00 -> code, zh, en
PAID = [
    (0, 0, "paid", "收款成功", "Paid"),
    (300, 0, "paid", "收款成功，其中已退款 3.00 元", "Paid; of it 3.00 was refunded"),
    (0, 250, "paid", "收款成功，其中退款中 2.50 元", "Paid; of it 2.50 is on its way back"),
    (
        300,
        250,
        "paid",
        "收款成功，其中已退款 3.00 元、退款中 2.50 元",
        "Paid; of it 3.00 was refunded and 2.50 is on its way back",
    ),
    (
        0,
        1000,
        "refund_under_way",
        "退款处理中，款项将原路退回",
        "The refund is on its way to the customer",
    ),
    (
        400,
        600,
        "refund_under_way",
        "退款处理中，款项将原路退回",
        "The refund is on its way to the customer",
    ),
    (1000, 0, "refunded", "已退款", "Refunded"),
]

# the same -> what another request for the number hears
USED = [
    (
        0,
        0,
        "already_paid",
        "单号 A1 已于 2026-11-21 12:00 收款 10.00 元（钱包 159****0000）。请换新单号",
        "Order A1 took 10.00 on 2026-11-21 at 12:00 by Wallet 159****0000. Take a new number",
    ),
    (
        300,
        0,
        "already_paid",
        (
            "单号 A1 已于 2026-11-21 12:00 收款 10.00 元（钱包 159****0000），"
            "其中已退款 3.00 元。请换新单号"
        ),
        (
            "Order A1 took 10.00 on 2026-11-21 at 12:00 by Wallet 159****0000, "
            "of it 3.00 was refunded. Take a new number"
        ),
    ),
    (
        0,
        1000,
        "refund_under_way",
        (
            "单号 A1 已于 2026-11-21 12:00 收款 10.00 元（钱包 159****0000），"
            "其中退款中 10.00 元。请换新单号"
        ),
        (
            "Order A1 took 10.00 on 2026-11-21 at 12:00 by Wallet 159****0000, "
            "of it 10.00 is on its way back. Take a new number"
        ),
    ),
    (
        1000,
        0,
        "refunded",
        (
            "单号 A1 已于 2026-11-21 12:00 收款 10.00 元（钱包 159****0000），"
            "其中已退款 10.00 元。请换新单号"
        ),
        (
            "Order A1 took 10.00 on 2026-11-21 at 12:00 by Wallet 159****0000, "
            "of it 10.00 was refunded. Take a new number"
        ),
    ),
]

REFUNDS = [
    *((status, MERCHANT, VERDICTS[VerdictCode.REFUND_UNDER_WAY]) for status in UNDER_WAY),
    *((status, LATE, verdicts.LATE_UNDER_WAY) for status in UNDER_WAY),
    *((status, SURPLUS, verdicts.SURPLUS_UNDER_WAY) for status in UNDER_WAY),
    *(("needs_action", origin, VERDICTS[VerdictCode.REFUND_NEEDS_ACTION]) for origin in Origin),
    *(("succeeded", origin, VERDICTS[VerdictCode.REFUNDED]) for origin in Origin),
    *(("failed", origin, VERDICTS[VerdictCode.REFUND_FAILED]) for origin in Origin),
]


def paid(returned: int, reserved: int, **fields: Any) -> Payment:
    settled = attempt("succeeded", returned_amount=returned, reserved_amount=reserved)
    return payment("succeeded", settled, **{"payer_masked": "159****0000"} | fields)


@pytest.mark.parametrize(("status", "fields", "verdict"), OWN)
def test_what_the_request_hears_that_made_the_payment(status, fields, verdict):
    assert verdict_of(payment(status, **fields)) == verdict


def test_every_status_is_in_the_tables():
    assert {status for status, *_ in OWN} | {"succeeded"} == set(PAYMENT_STATES)
    assert {status for status, *_ in REFUNDS} == set(REFUND_STATES)


@pytest.mark.parametrize(("returned", "reserved", "code", "zh", "en"), PAID)
def test_a_paid_payment_knows_of_its_refunds(returned, reserved, code, zh, en):
    assert verdict_of(paid(returned, reserved)) == Verdict(VerdictCode(code), zh, en)


@pytest.mark.parametrize(("returned", "reserved", "code", "zh", "en"), USED)
def test_another_request_hears_what_the_number_took(returned, reserved, code, zh, en):
    heard = verdict_for_others(paid(returned, reserved), TITLES, ADVICE)
    assert heard == Verdict(VerdictCode(code), zh, en)


def test_a_payment_without_a_payer_or_a_channel_of_ours_is_told_too():
    heard = verdict_for_others(paid(0, 0, channel="old", payer_masked=None), TITLES, ADVICE)
    assert heard.zh == "单号 A1 已于 2026-11-21 12:00 收款 10.00 元（old）。请换新单号"
    assert heard.en == "Order A1 took 10.00 on 2026-11-21 at 12:00 by old. Take a new number"


@pytest.mark.parametrize("status", PAYMENT_STATES)
def test_no_other_request_ever_hears_paid(status):
    """Goods are handed over on `paid`, and the other request's customer has paid nothing."""
    own = paid(0, 0) if status == "succeeded" else payment(status)
    heard = verdict_for_others(own, TITLES, ADVICE)
    assert heard.code != "paid"
    assert heard == verdict_of(own) or status == "succeeded"


@pytest.mark.parametrize(("status", "origin", "verdict"), REFUNDS)
def test_a_refund_has_the_words_of_its_origin(status, origin, verdict):
    assert refund_verdict(RefundStatus(status), origin) == verdict


def test_only_what_came_too_late_says_so():
    """An ordinary refund of a wallet is under way for a while: its cashier hears of no lateness."""
    assert "late" not in refund_verdict(RefundStatus.PROCESSING, MERCHANT).en
    assert "过晚" not in refund_verdict(RefundStatus.PROCESSING, MERCHANT).zh


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_reason_is_told_in_both_languages(code):
    zh, en = FAILURES[code]
    assert HAN.search(zh)
    assert en.isascii()
    assert en[0].isupper()


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=lambda verdict: verdict.code)
def test_every_verdict_is_told_in_both_languages(verdict):
    assert VERDICTS[verdict.code] is verdict
    assert HAN.search(verdict.zh)
    assert verdict.en.isascii()


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.code)
def test_every_refusal_has_a_sentence_and_a_verdict(error):
    assert HAN.search(error.zh)
    assert error.title
    assert error.verdict in VERDICTS
    assert error.verdict != "paid"


def test_only_a_proven_no_may_be_charged_again():
    """The promise that keeps customers from paying twice:
    nothing undecided, paid or late reads as "charge again".
    """
    safe = {
        status
        for status in PAYMENT_STATES
        if status != "succeeded" and verdict_of(payment(status)).code == "safe_to_charge_again"
    }
    assert safe == {"failed", "expired", "canceled"}
