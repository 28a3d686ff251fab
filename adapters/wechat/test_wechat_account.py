"""Which accounts can work, and which payment codes are theirs."""

from typing import Any

import msgspec
import pytest

from adapters.wechat.credentials import Credentials
from adapters.wechat.manifest import MANIFEST
from adapters.wechat.test_wechat_channel import API_V3_KEY, CREDENTIALS
from security.secret import decode_hook


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"platform_keys": {}}, "PUB_KEY_ID_"),
        ({"platform_keys": {"7132D72A": "x"}}, "PUB_KEY_ID_"),
        ({"mode": "platform_certificate", "platform_certificates": []}, "certificate tool"),
        ({"api_v3_key": "short"}, "32 ASCII"),
        ({"base_url": "api.mch.weixin.qq.com"}, "base_url"),
        ({"second_base_url": "api2.mch.weixin.qq.com"}, "second_base_url"),
        ({"second_base_url": "https://api.mch.weixin.qq.com/"}, "base_url again"),
        ({"mchid": '1"'}, "mchid"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_credentials_say_what_to_do(changed: dict[str, Any], word: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=word):
        msgspec.convert(CREDENTIALS | changed, Credentials, dec_hook=decode_hook)


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(msgspec.convert(CREDENTIALS, Credentials, dec_hook=decode_hook))
    assert API_V3_KEY not in shown
    assert "PRIVATE" not in shown


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("100000000000000000", True),
        ("159999999999999999", True),
        ("160000000000000000", False),
        ("1" * 17, False),
        ("280000000000000000", False),
    ],
)
def test_which_payment_codes_are_ours(code: str, ours: bool) -> None:
    assert any(pattern.fullmatch(code) for pattern in MANIFEST.auth_codes) is ours
