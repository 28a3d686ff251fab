"""Every way a body may be wrong, one line each: the body, the error's code, the field to blame."""

from collections.abc import Callable
from urllib.parse import quote

import msgspec
import pytest

from gateway.domain.errors import GatewayError
from gateway.http.bodies import CancelBody, PayBody, PaymentsQuery, RefundBody
from gateway.http.decoding import decode_body, decode_query, decoder_of
from gateway.http.routes import ROUTES

PAY = decoder_of(PayBody)
REFUND = decoder_of(RefundBody)
CANCEL = decoder_of(CancelBody)

CODE = "280000000000000000"
START = '{"order_no":"T1","currency":"CNY",'


def amount(text: str) -> str:
    return f'{START}"amount":{text}}}'


def plus(member: str) -> str:
    return f'{START}"amount":1,{member}}}'


BAD_PAYMENTS: list[tuple[str | bytes, str, str | None]] = [
    ("", "malformed", None),
    (" ", "malformed", None),
    ("{", "malformed", None),
    ("nonsense", "malformed", None),
    ("{'amount':1}", "malformed", None),
    (amount("1")[:-1], "malformed", None),
    (amount("1") + "x", "malformed", None),
    (amount("1") + amount("1"), "malformed", None),
    (amount("1") + "\x00", "malformed", None),
    ("\ufeff" + amount("1"), "malformed", None),
    (amount("1").encode("utf-16"), "malformed", None),
    (amount("1").encode("utf-32-le"), "malformed", None),
    (plus('"description":"').encode() + b'\xff"}', "malformed", None),
    (plus('"metadata":{"a":"').encode() + b'\xed\xa0\x80"}}', "malformed", None),
    (START.encode() + b'"amount":1,"\xff":1}', "malformed", None),
    (plus(r'"description":"\ud800"'), "malformed", None),
    (plus(r'"description":"\udc00 x"'), "malformed", None),
    (plus('"description":"a\nb"'), "malformed", None),
    ("[" * 60_000, "malformed", None),
    ('{"a":' * 10_000 + "1" + "}" * 10_000, "malformed", None),
    (plus('"metadata":' + '{"a":' * 9 + "1" + "}" * 9), "malformed", None),
    (plus('"metadata":' + "[" * 9 + "]" * 9), "malformed", None),
    (amount("NaN"), "malformed", None),
    (amount("Infinity"), "malformed", None),
    (amount("-Infinity"), "malformed", None),
    (amount("01"), "malformed", None),
    (amount("+1"), "malformed", None),
    (amount("0x10"), "malformed", None),
    (amount("1_000"), "malformed", None),
    (amount("１００"), "malformed", None),
    (amount("1,"), "malformed", None),
    ('{"amount":1,"amount":1}', "malformed", None),
    (plus('"amount":1'), "malformed", None),
    (plus('"amount":2'), "malformed", None),
    (plus(r'"\u0061mount":1'), "malformed", None),
    (plus('"metadata":{"a":"1","a":"1"}'), "malformed", None),
    (plus(r'"metadata":{"a":"1","\u0061":"1"}'), "malformed", None),
    (plus('"metadata":{"a":"x:y","a":"1"}'), "malformed", None),
    (plus('"metadata":{":":"1",":":"1"}'), "malformed", None),
    (plus('"cash":{"tendered":1,"tendered":1}'), "malformed", None),
    (plus('"zz":{"a":1,"a":1}'), "malformed", None),
    (plus('"zz":[{"a":1,"a":1}]'), "malformed", None),
    ("[]", "field_invalid", None),
    ('"x"', "field_invalid", None),
    ("null", "field_invalid", None),
    ("12", "field_invalid", None),
    ("{}", "field_missing", "order_no"),
    ('{"order_no":"T1","currency":"CNY"}', "field_missing", "amount"),
    ('{"order_no":"T1","amount":1}', "field_missing", "currency"),
    (plus('"cash":{}'), "field_missing", "cash.tendered"),
    (plus('"zz":1'), "field_unknown", "zz"),
    (plus('"order_amount":0'), "amount_invalid", "order_amount"),
    (plus('"order_amount":1.0'), "amount_invalid", "order_amount"),
    (plus('"order_amount":10000000001'), "amount_invalid", "order_amount"),
    (plus('"override":{}'), "field_missing", "override.payment_id"),
    (
        plus('"override":{"payment_id":"pay_1","supervisor":{"id":"ann","pin":"1"}}'),
        "field_missing",
        "override.reason",
    ),
    (
        plus('"override":{"payment_id":"pay_1","supervisor":{"id":"ann","pin":"1"},"reason":""}'),
        "field_invalid",
        "override.reason",
    ),
    (
        plus(
            '"override":{"payment_id":"pay_1","supervisor":{"id":"ann b","pin":"1"},"reason":"x"}'
        ),
        "field_invalid",
        "override.supervisor.id",
    ),
    (
        plus(
            '"override":{"payment_id":"pay_1","supervisor":{"id":"ann","pin":"1"},"reason":"x","zz":1}'
        ),
        "field_unknown",
        "override.zz",
    ),
    (plus('"override":"pay_1"'), "field_invalid", "override"),
    (plus('"notify_url":"ftp://x"'), "field_invalid", "notify_url"),
    (plus('"card":{}'), "field_unknown", "card"),
    (plus('"member":{}'), "field_unknown", "member"),
    (plus('"merchant_id":"m"'), "field_unknown", "merchant_id"),
    (plus('"cash":{"tendered":1,"zz":1}'), "field_unknown", "cash.zz"),
    (plus('"a b`":1'), "field_unknown", None),
    (plus('"":1'), "field_unknown", None),
    (amount("1.0"), "amount_invalid", "amount"),
    (amount("0.5"), "amount_invalid", "amount"),
    (amount("1e2"), "amount_invalid", "amount"),
    (amount("1E0"), "amount_invalid", "amount"),
    (amount("1e400"), "amount_invalid", "amount"),
    (amount("10000000000e-10"), "amount_invalid", "amount"),
    (amount("0"), "amount_invalid", "amount"),
    (amount("-0"), "amount_invalid", "amount"),
    (amount("-1"), "amount_invalid", "amount"),
    (amount("10000000001"), "amount_invalid", "amount"),
    (amount("9223372036854775808"), "amount_invalid", "amount"),
    (amount("18446744073709551617"), "amount_invalid", "amount"),
    (amount("9" * 40), "amount_invalid", "amount"),
    (amount("9" * 60_000), "amount_invalid", "amount"),
    (amount('"100"'), "amount_invalid", "amount"),
    (amount('"１００"'), "amount_invalid", "amount"),
    (amount("true"), "amount_invalid", "amount"),
    (amount("null"), "amount_invalid", "amount"),
    (amount("[1]"), "amount_invalid", "amount"),
    (amount('{"value":1}'), "amount_invalid", "amount"),
    (plus('"cash":{"tendered":0}'), "amount_invalid", "cash.tendered"),
    (plus('"cash":{"tendered":1.5}'), "amount_invalid", "cash.tendered"),
    (plus('"cash":5'), "field_invalid", "cash"),
    (plus('"tender_no":0'), "field_invalid", "tender_no"),
    (plus('"tender_no":100'), "field_invalid", "tender_no"),
    (plus('"tender_no":"1"'), "field_invalid", "tender_no"),
    (plus('"tender_no":1.0'), "field_invalid", "tender_no"),
    (plus('"expires_in":59'), "field_invalid", "expires_in"),
    (plus('"expires_in":7201'), "field_invalid", "expires_in"),
    (plus('"flow":"QR"'), "field_invalid", "flow"),
    (plus('"method":"Alipay"'), "field_invalid", "method"),
    (plus('"method":""'), "field_invalid", "method"),
    (plus('"method":null'), "field_invalid", "method"),
    (plus('"auth_code":""'), "field_invalid", "auth_code"),
    (plus('"auth_code":"   "'), "field_invalid", "auth_code"),
    (plus(f'"auth_code":{CODE}'), "field_invalid", "auth_code"),
    (plus('"auth_code":"２８００００００００００００００００"'), "field_invalid", "auth_code"),
    (plus(f'"auth_code":"{"2" * 65}"'), "field_invalid", "auth_code"),
    (plus('"auth_code":"28-00"'), "field_invalid", "auth_code"),
    (plus('"operator_id":"a b"'), "field_invalid", "operator_id"),
    (plus('"store_id":"../x"'), "field_invalid", "store_id"),
    (plus('"description":""'), "field_invalid", "description"),
    (plus(f'"description":"{"x" * 128}"'), "field_invalid", "description"),
    (plus(r'"description":"a\u0000"'), "field_invalid", "description"),
    (plus(r'"description":"a\n"'), "field_invalid", "description"),
    (plus('"metadata":null'), "field_invalid", "metadata"),
    (plus('"metadata":{"a":1}'), "field_invalid", "metadata"),
    (plus('"metadata":{"":"x"}'), "field_invalid", "metadata"),
    (plus(f'"metadata":{{"{"k" * 41}":"x"}}'), "field_invalid", "metadata"),
    (plus(f'"metadata":{{"k":"{"x" * 501}"}}'), "field_invalid", "metadata"),
    (plus(r'"metadata":{"k":"\u0000"}'), "field_invalid", "metadata"),
    (
        plus('"metadata":{' + ",".join(f'"k{n}":""' for n in range(21)) + "}"),
        "field_invalid",
        "metadata",
    ),
    ('{"order_no":"","currency":"CNY","amount":1}', "field_invalid", "order_no"),
    (f'{{"order_no":"{"x" * 65}","currency":"CNY","amount":1}}', "field_invalid", "order_no"),
    (r'{"order_no":"T1\n","currency":"CNY","amount":1}', "field_invalid", "order_no"),
    ('{"order_no":"T 1","currency":"CNY","amount":1}', "field_invalid", "order_no"),
    ('{"order_no":"桌8","currency":"CNY","amount":1}', "field_invalid", "order_no"),
    ('{"order_no":8,"currency":"CNY","amount":1}', "field_invalid", "order_no"),
    ('{"order_no":"T1","currency":"USD","amount":1}', "field_invalid", "currency"),
    ('{"order_no":"T1","currency":"cny","amount":1}', "field_invalid", "currency"),
    ('{"order_no":"T1","currency":null,"amount":1}', "field_invalid", "currency"),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD_PAYMENTS)
def test_a_wrong_payment_is_refused_by_name(
    body: str | bytes, code: str, field: str | None
) -> None:
    with pytest.raises(GatewayError) as refusal:
        decode_body(PAY, body if isinstance(body, bytes) else body.encode())
    assert (refusal.value.code, refusal.value.field or None) == (code, field)


GOOD_PAYMENTS = [
    (amount("1"), {"amount": 1, "tender_no": 1, "method": "auto", "flow": None, "metadata": {}}),
    (amount("10000000000"), {"amount": 10_000_000_000}),
    (f" \r\n\t{amount('7')}\n", {"amount": 7}),
    (
        plus('"tender_no":99,"method":"alipay","flow":"qr","expires_in":60'),
        {"tender_no": 99, "flow": "qr", "expires_in": 60},
    ),
    (
        plus('"metadata":{"url":"https://x:1/","amount":"2"}'),
        {"metadata": {"url": "https://x:1/", "amount": "2"}},
    ),
    (plus(r'"description":"\u5957\u9910 \ud83c\udf5c :\""'), {"description": '套餐 🍜 :"'}),
    (
        plus('"operator_id":null,"store_id":null,"cash":null,"flow":null'),
        {"operator_id": None, "cash": None},
    ),
]


@pytest.mark.parametrize(("body", "expected"), GOOD_PAYMENTS)
def test_a_right_payment_is_taken(body: str, expected: dict[str, object]) -> None:
    decoded = decode_body(PAY, body.encode())
    assert {name: getattr(decoded, name) for name in expected} == expected


@pytest.mark.parametrize(
    "sent", [CODE, f" {CODE}\\r\\n", "2800 0000 0000 0000 00", f"\\u3000{CODE}"]
)
def test_blanks_around_and_inside_a_payment_code_are_ignored(sent: str) -> None:
    decoded = decode_body(PAY, plus(f'"auth_code":"{sent}"').encode())
    assert decoded.auth_code is not None
    assert decoded.auth_code.reveal() == CODE


@pytest.mark.parametrize(
    "name",
    [
        "order_no",
        "method",
        "flow",
        "auth_code",
        "operator_id",
        "store_id",
        "currency",
        "tender_no",
        "zz",
    ],
)
def test_a_refusal_never_quotes_the_value(name: str) -> None:
    marker = "6212345678901234567 <marker>"
    with pytest.raises(GatewayError) as refusal:
        decode_body(
            PAY,
            plus(f'"{name}":"{marker}"')
            .replace('"order_no":"T1",', "" if name == "order_no" else '"order_no":"T1",')
            .encode(),
        )
    assert "6212" not in f"{refusal.value} {refusal.value.field}"
    assert "marker" not in f"{refusal.value} {refusal.value.field}"


BAD_REFUNDS = [
    ("{}", "field_missing", "refund_no"),
    ('{"refund_no":"R1"}', "field_missing", "amount"),
    ('{"refund_no":"late.X","amount":1}', "field_invalid", "refund_no"),
    ('{"refund_no":"R1","amount":0}', "amount_invalid", "amount"),
    ('{"refund_no":"R1","amount":1,"currency":"CNY"}', "field_unknown", "currency"),
    ('{"refund_no":"R1","amount":1,"reason":null}', "field_invalid", "reason"),
    (f'{{"refund_no":"R1","amount":1,"reason":"{"x" * 81}"}}', "field_invalid", "reason"),
    ('{"refund_no":"R1","amount":1,"amount":1}', "malformed", None),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD_REFUNDS)
def test_a_wrong_refund_is_refused_by_name(body: str, code: str, field: str | None) -> None:
    with pytest.raises(GatewayError) as refusal:
        decode_body(REFUND, body.encode())
    assert (refusal.value.code, refusal.value.field or None) == (code, field)


def test_a_cancel_takes_an_empty_object_only() -> None:
    assert decode_body(CANCEL, b"{}") == CancelBody()
    with pytest.raises(GatewayError, match="no such field"):
        decode_body(CANCEL, b'{"reason":"x"}')


BAD_QUERIES = [
    ("zz=1", "field_unknown", "zz"),
    ("limit=0", "field_invalid", "limit"),
    ("limit=101", "field_invalid", "limit"),
    ("limit=1.0", "field_invalid", "limit"),
    ("limit=-1", "field_invalid", "limit"),
    ("limit=%EF%BC%91", "field_invalid", "limit"),
    ("limit=", "field_invalid", "limit"),
    ("limit=99999999999999999999", "field_invalid", "limit"),
    ("limit=1&limit=1", "malformed", "limit"),
    ("status=done", "field_invalid", "status"),
    ("from=yesterday", "field_invalid", "from"),
    ("from=1795219200", "field_invalid", "from"),
    ("from=2026-11-21", "field_invalid", "from"),
    ("from=2026-11-21T00:00:00", "field_invalid", "from"),
    ("to=2026-11-21T25:00:00Z", "field_invalid", "to"),
    ("since=2026-11-21T00:00:00Z", "field_unknown", "since"),
    ("order_no=a%20b", "field_invalid", "order_no"),
    ("order_no=%FF", "malformed", None),
    ("order_no", "malformed", None),
    ("&".join(f"a{n}=1" for n in range(17)), "malformed", None),
]


@pytest.mark.parametrize(("query", "code", "field"), BAD_QUERIES)
def test_a_wrong_query_is_refused_by_name(query: str, code: str, field: str | None) -> None:
    with pytest.raises(GatewayError) as refusal:
        decode_query(PaymentsQuery, query)
    assert (refusal.value.code, refusal.value.field or None) == (code, field)


INSTANTS = [
    ("1999-12-31T23:59:59Z", False),
    ("2000-01-01T00:00:00Z", True),
    ("2000-01-01T00:00:00+00:01", False),
    ("2100-12-31T23:59:59Z", True),
    ("2100-12-31T23:59:59-00:01", False),
    ("9999-12-31T23:59:59-14:00", False),
    ("9999-12-31T23:59:59-12:00", False),
    ("9999-12-31T23:59:59Z", False),
    ("0001-01-01T00:00:00+14:00", False),
    ("0001-01-01T00:00:00Z", False),
]
WITH_INSTANTS = {
    (shape, field.encode_name)
    for route in ROUTES
    for shape in (route.body, route.query)
    if shape
    for field in msgspec.structs.fields(shape)
    if "datetime.datetime" in str(field.type)
}


def test_there_are_instants_to_try() -> None:
    assert {name for _, name in WITH_INSTANTS} >= {"from", "to", "dead_since"}


@pytest.mark.parametrize(
    ("shape", "name"),
    sorted(WITH_INSTANTS, key=str),
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
@pytest.mark.parametrize(("text", "ours"), INSTANTS)
def test_an_instant_is_of_our_time_wherever_one_is_taken(
    shape: type, name: str, text: str, ours: bool
) -> None:
    """The calendar of RFC 3339 is longer than Python's in UTC, and than PostgreSQL's index."""
    ways: tuple[Callable[[], object], ...] = (
        lambda: decode_query(shape, f"{name}={quote(text)}"),
        lambda: decode_body(decoder_of(shape), f'{{"{name}":"{text}"}}'.encode()),
    )
    for decode in ways:
        if ours:
            assert decode()
        else:
            with pytest.raises(GatewayError) as refused:
                decode()
            assert (refused.value.code, refused.value.field) == ("field_invalid", name)


def test_a_right_query_is_taken() -> None:
    query = decode_query(
        PaymentsQuery,
        "limit=5&order_no=007&from=2026-11-21T00%3A00%3A00%2B08:00&to=2026-11-22T00:00:00Z",
    )
    assert (query.limit, query.order_no) == (5, "007")
    assert query.since is not None
    assert query.since.isoformat() == "2026-11-21T00:00:00+08:00"
