"""Numbers that must come out the same for ever: a channel refuses the second use only because we
make the same one again.
"""

import base64
import hashlib
import itertools
import re

import pytest

from gateway.domain.identifiers import event_id, out_refund_no, out_trade_no
from gateway.domain.presenting import Flow
from gateway.domain.tender import Tender
from gateway.domain.words import Numbering


def of(
    merchant_id: str, order_no: str, tender_no: int, store_id: str = "", numbering: int = 1
) -> Tender:
    return Tender(
        merchant_id=merchant_id,
        store_id=store_id,
        order_no=order_no,
        tender_no=tender_no,
        amount=1,
        currency="CNY",
        channel="wallet",
        flow=Flow.CODE,
        numbering=Numbering(numbering),
    )


def in_store(merchant_id: str, store_id: str, order_no: str, tender_no: int) -> Tender:
    return of(merchant_id, order_no, tender_no, store_id, 2)


VECTORS = [
    (out_trade_no, ("TG", of("m_1", "T08-0042", 1), 1), "TGTEW7PHGHPCLZMA3C5SH4Z64GRH"),
    (out_trade_no, ("TG", of("m_1", "T08-0042", 1, "s_1"), 2), "TGTO3F2JET4H2IKWRL7VYZQBOFAF"),
    (out_trade_no, ("LV", of("m_1", "T08-0042", 2), 1), "LV3EX3HTJBJMJHGQH6XSADIOEYEQ"),
    (
        out_trade_no,
        ("TG", in_store("m_1", "s_1", "T08-0042", 1), 1),
        "TGXH4VY6NTBPB6UT32XEYI7QMJJA",
    ),
    (
        out_trade_no,
        ("TG", in_store("m_1", "s_2", "T08-0042", 1), 1),
        "TG3PD4PGC7EMGCSN4JJNWUENQONR",
    ),
    (out_refund_no, ("TG", "TGAAAA", "late.TGAAAA"), "TGM6K7ZIFSE5XK4KYU4FWLNXG5P3"),
    (event_id, ("pay_1", 1), "evt_374d1289fb7fd0a40ad3ff77fdd0710a"),
    (event_id, ("pay_1", 2), "evt_617a055ce4bc7b9a2c7c3e2c128e704e"),
]


@pytest.mark.parametrize(("make", "parts", "number"), VECTORS)
def test_frozen_vectors(make, parts, number):
    assert make(*parts) == number


@pytest.mark.parametrize(
    ("tender", "parts"),
    [
        (of("m_1", "T08-0042", 1, "s_1"), ("m_1", "T08-0042", 1, 1)),
        (in_store("m_1", "s_1", "T08-0042", 1), ("m_1", "s_1", "T08-0042", 1, 1)),
    ],
)
def test_trade_number_is_the_published_formula(tender, parts):
    text = b"".join(f"{part}\0".encode() for part in parts)
    digest = base64.b32encode(hashlib.sha256(text).digest()).decode()
    assert out_trade_no("TG", tender, 1) == "TG" + digest[:26]


def test_channels_take_the_numbers():
    """WeChat: 6 to 32 of digits, letters and `_-|*`;
    Alipay: up to 64 of letters, digits and underscore.
    """
    numbers = [out_trade_no("TG", in_store("m", "s", f"o{n}", 1), 1) for n in range(200)] + [
        out_refund_no("TG", f"t{n}", "r") for n in range(200)
    ]
    assert all(re.fullmatch(r"TG[A-Z2-7]{26}", number) for number in numbers)
    assert len(set(numbers)) == 400


def test_neighbours_never_collide():
    parts = [
        (of("m", "o1", 1), 1),
        (of("m", "o", 11), 1),
        (of("mo", "1", 1), 1),
        (of("m", "o1", 11), 1),
        (of("m", "o1", 1), 11),
        (of("m", "o11", 1), 1),
        (in_store("m", "o1", "1", 1), 1),
        (in_store("m", "s", "o1", 1), 1),
        (in_store("m", "s1", "o1", 1), 1),
        (in_store("ms", "1", "o1", 1), 1),
    ]
    made = [out_trade_no("TG", *each) for each in parts]
    assert len(set(made)) == len(made)
    for left, right in itertools.combinations(
        [("t", "r1"), ("t", "r2"), ("tr", "1"), ("t2", "r1")], 2
    ):
        assert out_refund_no("TG", *left) != out_refund_no("TG", *right)
    assert event_id("pay_1", 11) != event_id("pay_11", 1)
