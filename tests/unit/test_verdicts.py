"""What people read: every state and every reason has a sentence in both languages."""

import re

import pytest

from gateway.domain.errors import leaves
from gateway.domain.outcomes import FailureCode
from gateway.domain.states import PAYMENT_STATES, REFUND_STATES
from gateway.domain.verdicts import FAILURES, VERDICTS, refund_verdict, verdict_of
from tests.unit.paying import payment

HAN = re.compile(r"[一-鿿]")

PAYMENT_VERDICTS = {
    "processing": "wait",
    "awaiting_payer": "wait",
    "in_doubt": "do_not_charge_again",
    "succeeded": "paid",
    "failed": "safe_to_charge_again",
    "expired": "safe_to_charge_again",
    "canceled": "safe_to_charge_again",
    "paid_late": "refund_under_way",
}
LATE = {
    None: "refund_under_way",
    "requested": "refund_under_way",
    "processing": "refund_under_way",
    "in_doubt": "refund_under_way",
    "needs_action": "refund_needs_action",
    "succeeded": "refunded",
}
REFUNDS = {
    "requested": "refund_under_way",
    "processing": "refund_under_way",
    "in_doubt": "refund_under_way",
    "needs_action": "refund_needs_action",
    "succeeded": "refunded",
    "failed": "refund_failed",
}


@pytest.mark.parametrize("status", PAYMENT_STATES)
def test_payment_verdict(status):
    assert verdict_of(payment(status)).code == PAYMENT_VERDICTS[status]


@pytest.mark.parametrize(("refund", "code"), LATE.items())
def test_late_money_verdict_follows_its_refund(refund, code):
    assert verdict_of(payment("paid_late", late_refund=refund)).code == code


@pytest.mark.parametrize("status", REFUND_STATES)
def test_refund_verdict(status):
    assert refund_verdict(status).code == REFUNDS[status]


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


def test_only_a_proven_no_may_be_charged_again():
    """The promise that keeps customers from paying twice:
    nothing undecided, paid or late reads as "charge again".
    """
    safe = {
        status
        for status in PAYMENT_STATES
        if verdict_of(payment(status)).code == "safe_to_charge_again"
    }
    assert safe == {"failed", "expired", "canceled"}
