"""The pure halves of the wires, one line a case."""

from typing import Any

import pytest
from wechatpayv3 import utils

from sandbox.alipay import wire as alipay
from sandbox.wechat import wire as wechat


@pytest.mark.parametrize(("text", "fen"), [
    ("0.01", 1),
    ("1", 100),
    ("1.5", 150),
    ("100000000.00", 10_000_000_000),
    ("100000000.01", None),
    ("0", None),
    ("0.00", None),
    ("01.00", None),
    ("1.001", None),
    ("1e2", None),
    (" 1", None),
    ("１", None),
    (100, None),
    (None, None),
])  # fmt: skip
def test_fen(text: Any, fen: int | None) -> None:
    if fen is None:
        with pytest.raises(alipay.WireError):
            alipay.fen(text)
    else:
        assert alipay.fen(text) == fen
        assert alipay.fen(alipay.yuan(fen)) == fen


@pytest.mark.parametrize(("parameters", "signed"), [
    ({"b": "2", "a": "1", "sign": "x"}, b"a=1&b=2"),
    ({"a": "", "b": " ", "c": "3", "sign_type": "RSA2"}, b"c=3&sign_type=RSA2"),
    ({"z": "a b&c", "n": "中"}, "n=中&z=a b&c".encode()),
])  # fmt: skip
def test_request_string(parameters: dict[str, str], signed: bytes) -> None:
    assert alipay.request_string(parameters) == signed


@pytest.mark.parametrize(("parameters", "signed"), [
    ({"b": "", "a": "1", "sign": "x", "sign_type": "RSA2"}, b"a=1&b="),
])  # fmt: skip
def test_notify_string(parameters: dict[str, str], signed: bytes) -> None:
    assert alipay.notify_string(parameters) == signed


@pytest.mark.parametrize(("sources", "parsed"), [
    (("a=1&b=%E4%B8%AD", "c=x+y"), {"a": "1", "b": "中", "c": "x y"}),
    (("charset=utf-8", "charset=utf-8"), {"charset": "utf-8"}),
    (("a=1", "a=2"), None),
    (("a=%FF",), None),
])  # fmt: skip
def test_parse_form(sources: tuple[str, ...], parsed: dict[str, str] | None) -> None:
    if parsed is None:
        with pytest.raises(alipay.WireError):
            alipay.parse_form(*sources)
    else:
        assert alipay.parse_form(*sources) == parsed


AUTHORIZATION = (
    'WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n",signature="s=",timestamp="1",serial_no="A"'
)


@pytest.mark.parametrize(("header", "is_right"), [
    (AUTHORIZATION, True),
    (AUTHORIZATION.replace(",", ", "), True),
    (AUTHORIZATION.replace("SHA256-RSA2048", "SM2-WITH-SM3"), False),
    (AUTHORIZATION.replace('mchid="1",', ""), False),
    (AUTHORIZATION + ',mchid="2"', False),
    (AUTHORIZATION + ',more="2"', False),
    (AUTHORIZATION.replace('timestamp="1"', 'timestamp="-1"'), False),
    (AUTHORIZATION.replace('timestamp="1"', 'timestamp="１"'), False),
    ("", False),
])  # fmt: skip
def test_parse_authorization(header: str, is_right: bool) -> None:
    if is_right:
        assert wechat.parse_authorization(header)["signature"] == "s="
    else:
        with pytest.raises(wechat.WireError):
            wechat.parse_authorization(header)


def test_resources_are_read_by_the_sdk() -> None:
    key = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
    sealed = wechat.encrypt(key, "message 中".encode(), "transaction")
    assert (
        utils.aes_decrypt(sealed["nonce"], sealed["ciphertext"], sealed["associated_data"], key)
        == "message 中"
    )
