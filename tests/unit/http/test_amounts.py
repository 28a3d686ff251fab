"""Whatever number a till writes: the accepted amount is the one that was written,
or nothing is accepted.
"""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import AmountInvalid, GatewayError, Malformed
from gateway.domain.resources import payment_json
from gateway.flow.commands import Caller
from gateway.http.bodies import PayBody
from gateway.http.decoding import decode_body, decoder_of
from gateway.http.payments import pay_command
from gateway.limits import AMOUNT_FEN_MAX
from tests.fakes.flow import payment_of

PAY = decoder_of(PayBody)
CALLER = Caller(
    key_id="tk_1", merchant_id="m_1", store_id="s_1", terminal_id="term_1", role="terminal"
)

whole = st.integers(min_value=-(2**70), max_value=2**70).map(str)
near_bounds = st.sampled_from([0, 1, AMOUNT_FEN_MAX, 2**31, 2**32, 2**53, 2**63, 2**64]).flatmap(
    lambda bound: st.integers(min_value=bound - 2, max_value=bound + 2).map(str)
)
floats = st.floats(allow_nan=True, allow_infinity=True).map(json.dumps)
exponents = st.tuples(
    st.integers(-(10**6), 10**6), st.integers(-20, 20), st.sampled_from("eE")
).map(lambda t: f"{t[0]}{t[2]}{t[1]}")
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)
full_width = st.integers(min_value=0, max_value=10**12).map(
    lambda n: str(n).translate({48 + d: 0xFF10 + d for d in range(10)})
)
decorated = st.tuples(
    st.sampled_from(["+", "0", "-", " ", "0x", "_", "'", '"']), st.integers(0, 10**11)
).map(lambda t: f"{t[0]}{t[1]}")
digits = st.text(alphabet='0123456789.eE+-_ ,"', max_size=24)
odd = st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "null",
        "[]",
        "{}",
        '"1"',
        "-0",
        "1.",
        ".1",
        "1e",
        "٣",
        "Ⅷ",
        "1\u200b",
        "1\u00a0",
    ]
)
number_texts = st.one_of(
    whole, near_bounds, floats, exponents, decimals, full_width, decorated, digits, odd
)


@settings(max_examples=2_000, deadline=None, print_blob=True)
@given(text=number_texts)
def test_the_accepted_amount_is_the_stored_amount(text: str) -> None:
    body = f'{{"order_no":"T1","currency":"CNY","amount":{text}}}'.encode()
    try:
        decoded = decode_body(PAY, body)
    except (AmountInvalid, Malformed):
        decoded = None
    assert (decoded is not None) == _plain_amount(text)
    if decoded is None:
        return
    stored = json.loads(payment_json(payment_of(pay_command(decoded), CALLER, "pay_1")))["amount"]
    assert type(stored) is int
    assert Decimal(stored) == Decimal(text.strip(" "))


def _plain_amount(text: str) -> bool:
    """An amount as the contract means it, judged by eye:
    blanks, digits without a leading zero, in range.
    """
    bare = text.strip(" ")
    return bare.isascii() and bare.isdigit() and bare[0] != "0" and 1 <= int(bare) <= AMOUNT_FEN_MAX


@settings(max_examples=300, deadline=None, print_blob=True)
@given(
    first=st.integers(1, 10**10),
    second=st.integers(1, 10**10),
    gap=st.text(alphabet=" \t\r\n", max_size=3),
)
def test_two_amounts_are_never_one(first: int, second: int, gap: str) -> None:
    amounts = f'"amount":{first},"currency":"CNY","amount"{gap}:{gap}{second}'
    body = f'{{"order_no":"T1",{amounts}}}'.encode()
    with pytest.raises(Malformed):
        decode_body(PAY, body)


keys = st.text(alphabet=st.sampled_from('ab:"\\{},[]'), max_size=3)
members = st.lists(
    st.tuples(keys, st.text(alphabet=st.sampled_from('ab:"\\{},'), max_size=4)), max_size=6
)


@settings(max_examples=1_000, deadline=None, print_blob=True)
@given(metadata=members)
def test_a_body_is_taken_exactly_when_its_keys_differ(metadata: list[tuple[str, str]]) -> None:
    inner = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in metadata)
    body = f'{{"order_no":"T1","amount":1,"currency":"CNY","metadata":{{{inner}}}}}'.encode()
    names = [name for name, _ in metadata]
    if "" not in names and len(set(names)) == len(names):
        assert decode_body(PAY, body).metadata == dict(metadata)
    else:
        with pytest.raises(GatewayError) as refusal:
            decode_body(PAY, body)
        assert refusal.value.code == (
            "malformed" if len(set(names)) < len(names) else "field_invalid"
        )
