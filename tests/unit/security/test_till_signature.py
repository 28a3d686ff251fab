from typing import Any

import pytest

from gateway.domain.errors import SignatureExpired, SignatureInvalid
from gateway.limits import AUTHORIZATION_BYTES_MAX
from security.secret import Secret
from security.till_signature import (
    Authorization,
    authorization_header,
    canonical,
    only_header,
    parse_authorization,
    sign,
    verify,
)

SECRET = Secret("sk_test_0123456789abcdef")
TS = 1795219200
BODY = b'{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'
REQUEST: dict[str, Any] = {
    "method": "POST",
    "path_qs": "/v1/payments",
    "idempotency_key": "idem-0001",
    "body": BODY,
}
SIG = "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI="  # the vector of api.md
HEADER = f'TILLGATE-HMAC-SHA256 key="tk_A",ts={TS},sig="{SIG}"'


def signed(**request):
    return Authorization("tk_A", TS, sign(SECRET, ts=TS, **request))


def test_vector():
    assert sign(SECRET, ts=TS, **REQUEST) == SIG
    assert authorization_header("tk_A", SECRET, ts=TS, **REQUEST) == HEADER
    assert parse_authorization(HEADER) == Authorization("tk_A", TS, SIG)
    verify(SECRET, parse_authorization(HEADER), **REQUEST, now_s=TS)


def test_canonical_is_five_lines():
    empty_hash = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        canonical("GET", "/v1/payments?a=%20&b", 7, None, b"")
        == b"GET\n/v1/payments?a=%20&b\n7\n\n" + empty_hash + b"\n"
    )
    assert canonical("GET", "/caf\udcc3\udca9", 7, "", b"").startswith(b"GET\n/caf\xc3\xa9\n7\n\n")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("method", "PUT"),
        ("method", "post"),
        ("path_qs", "/v1/payments?"),
        ("path_qs", "/v1/payments/"),
        ("path_qs", "/v1/payments?limit=1"),
        ("path_qs", "/v1/Payments"),
        ("path_qs", "/v1/payments\n"),
        ("path_qs", "/v1/p\ud83dayments"),
        ("idempotency_key", None),
        ("idempotency_key", ""),
        ("idempotency_key", "idem-0002"),
        ("idempotency_key", "idem-0001 "),
        ("idempotency_key", "idem-0001\n"),
        ("body", b""),
        ("body", BODY + b" "),
        ("body", BODY.replace(b"12850", b"12851")),
    ],
)
def test_another_request_is_refused(change, value):
    with pytest.raises(SignatureInvalid):
        verify(SECRET, parse_authorization(HEADER), **(REQUEST | {change: value}), now_s=TS)


def test_parts_cannot_be_shifted_into_each_other():
    """`path` + key of one request must not sign another split of the same bytes."""
    with pytest.raises(ValueError, match="line end"):
        sign(
            SECRET,
            method="POST",
            path_qs=f"/v1/payments\n{TS}\nidem",
            ts=TS,
            idempotency_key=None,
            body=b"",
        )


@pytest.mark.parametrize("secret", ["sk_test_0123456789abcdeF", "sk_test_0123456789abcdef ", "x"])
def test_another_secret_is_refused(secret):
    with pytest.raises(SignatureInvalid, match="does not match"):
        verify(Secret(secret), parse_authorization(HEADER), **REQUEST, now_s=TS)


@pytest.mark.parametrize(
    ("now_s", "fresh"),
    [
        (TS - 301, False),
        (TS - 300.5, False),
        (TS - 300, True),
        (TS, True),
        (TS + 299.9, True),
        (TS + 300, True),
        (TS + 300.001, False),
        (TS + 86_400, False),
        (0, False),
    ],
)
def test_window(now_s, fresh):
    authorization = parse_authorization(HEADER)
    if fresh:
        verify(SECRET, authorization, **REQUEST, now_s=now_s)
        return
    with pytest.raises(SignatureExpired) as expired:
        verify(SECRET, authorization, **REQUEST, now_s=now_s)
    assert expired.value.server_time == int(now_s)
    assert (expired.value.code, expired.value.http_status) == ("signature_expired", 401)


def test_our_time_is_told_only_to_who_holds_the_secret():
    with pytest.raises(SignatureInvalid):
        verify(Secret("another"), parse_authorization(HEADER), **REQUEST, now_s=0)


@pytest.mark.parametrize("place", range(len(BODY)))
def test_every_byte_of_the_body_counts(place):
    body = bytearray(BODY)
    body[place] ^= 1 << (place % 8)
    with pytest.raises(SignatureInvalid):
        verify(SECRET, parse_authorization(HEADER), **(REQUEST | {"body": bytes(body)}), now_s=TS)


def test_every_bit_of_the_header_counts():
    """A changed header is refused, or names another key: then another secret is looked up, and that
    one does not match.
    """
    for place in range(len(HEADER)):
        for bit in range(7):
            changed = HEADER[:place] + chr(ord(HEADER[place]) ^ (1 << bit)) + HEADER[place + 1 :]
            try:
                authorization = parse_authorization(changed)
            except SignatureInvalid:
                continue
            if authorization.key_id != "tk_A":
                assert authorization[1:] == (TS, SIG)
                continue
            with pytest.raises(SignatureInvalid):
                verify(SECRET, authorization, **REQUEST, now_s=TS)


@pytest.mark.parametrize(
    "header",
    [
        f'TILLGATE-HMAC-SHA256 ts={TS},key="tk_A",sig="{SIG}"',
        f'TILLGATE-HMAC-SHA256 sig="{SIG}",ts={TS},key="tk_A"',
        f'TILLGATE-HMAC-SHA256 key="tk_A", ts={TS} , sig="{SIG}"',
    ],
)
def test_order_and_blanks_are_free(header):
    assert parse_authorization(header) == Authorization("tk_A", TS, SIG)


LONGEST_SIG = "A" * 43 + "="
BROKEN = [
    ("", "begin with"),
    ("Bearer abc", "begin with"),
    ("TILLGATE-HMAC-SHA256", "must hold"),
    ("TILLGATE-HMAC-SHA256 ", "must hold"),
    (HEADER.lower(), "begin with"),
    (" " + HEADER, "begin with"),
    (HEADER.replace("SHA256 ", "SHA1 "), "begin with"),
    (HEADER.replace("SHA256 ", "SHA256\t"), "begin with"),
    (HEADER.replace("SHA256 ", "SHA256,"), "begin with"),
    (HEADER + ",", "must hold"),
    (HEADER + ',alg="none"', "must hold"),
    (HEADER + f",ts={TS}", "twice"),
    (HEADER + f',sig="{LONGEST_SIG}"', "twice"),
    (HEADER + ',key="tk_B"', "twice"),
    (HEADER + ", " + HEADER, "twice"),
    (HEADER.replace(f",ts={TS}", ""), "must hold"),
    (HEADER.replace('key="tk_A",', ""), "must hold"),
    (HEADER.replace(f',sig="{SIG}"', ""), "must hold"),
    (HEADER.replace("key=", "Key="), "must hold"),
    (HEADER.replace("key=", "key ="), "must hold"),
    (HEADER.replace(",", ";"), "must hold"),
    (HEADER.replace("tk_A", ""), "key must"),
    (HEADER.replace("tk_A", "tk A"), "key must"),
    (HEADER.replace("tk_A", "tk/A"), "key must"),
    (HEADER.replace('"tk_A"', "tk_A"), "key must"),
    (HEADER.replace('"tk_A"', "'tk_A'"), "key must"),
    (HEADER.replace("tk_A", "k" * 65), "key must"),
    (HEADER.replace("tk_A", "tk_A\n"), "key must"),
    (HEADER.replace(str(TS), f'"{TS}"'), "ts must"),
    (HEADER.replace(str(TS), f"+{TS}"), "ts must"),
    (HEADER.replace(str(TS), f"-{TS}"), "ts must"),
    (HEADER.replace(str(TS), f"0{TS}"), "ts must"),
    (HEADER.replace(str(TS), f"{TS}.0"), "ts must"),
    (HEADER.replace(str(TS), "1_795_219_200"), "ts must"),
    (HEADER.replace(str(TS), "1e9"), "ts must"),
    (HEADER.replace(str(TS), f"{TS}000"), "ts must"),
    (HEADER.replace(str(TS), "0"), "ts must"),
    (HEADER.replace(str(TS), ""), "ts must"),
    (HEADER.replace(str(TS), "１７９５２１９２００"), "ASCII"),
    (HEADER.replace(SIG, ""), "sig must"),
    (HEADER.replace(SIG, SIG[:-1]), "sig must"),
    (HEADER.replace(SIG, SIG + "="), "sig must"),
    (HEADER.replace(SIG, SIG.replace("+", "-")), "sig must"),
    (HEADER.replace(SIG, " " + SIG[1:]), "sig must"),
    (HEADER.replace(SIG, "ab" * 32), "sig must"),
    (HEADER.replace(f'"{SIG}"', SIG), "sig must"),
    (HEADER + "\n", "sig must"),
    (HEADER + "é", "ASCII"),
    (HEADER + " " * AUTHORIZATION_BYTES_MAX, "more than"),
]


@pytest.mark.parametrize(("header", "complaint"), BROKEN)
def test_broken_header(header, complaint):
    with pytest.raises(SignatureInvalid, match=complaint) as refused:
        parse_authorization(header)
    assert SIG not in str(refused.value)


def test_unused_bits_of_base64_cannot_vary():
    assert SIG[-2] == "I"
    with pytest.raises(SignatureInvalid):
        verify(SECRET, parse_authorization(HEADER.replace("nFI=", "nFJ=")), **REQUEST, now_s=TS)


def test_exactly_one_header():
    assert only_header([HEADER]) == HEADER
    with pytest.raises(SignatureInvalid, match="missing"):
        only_header([])
    with pytest.raises(SignatureInvalid, match="exactly one"):
        only_header([HEADER, HEADER])


def test_get_without_key_or_body():
    request: dict[str, Any] = {
        "method": "GET",
        "path_qs": "/v1/payments?order_no=T08-0042&limit=20",
        "idempotency_key": None,
        "body": b"",
    }
    verify(SECRET, signed(**request), **request, now_s=TS)
    verify(SECRET, signed(**request), **(request | {"idempotency_key": ""}), now_s=TS)
