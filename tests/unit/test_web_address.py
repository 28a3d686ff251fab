import pytest

from gateway.domain.web_address import web_address
from gateway.limits import WEBHOOK_URL_CHARS_MAX


@pytest.mark.parametrize(
    ("written", "url", "origin"),
    [
        ("https://shop.example/a", "https://shop.example/a", "https://shop.example"),
        ("HTTPS://Shop.Example/A", "https://shop.example/A", "https://shop.example"),
        ("https://shop.example", "https://shop.example/", "https://shop.example"),
        ("https://shop.example?x=1", "https://shop.example/?x=1", "https://shop.example"),
        ("https://shop.example:443/a", "https://shop.example/a", "https://shop.example"),
        (
            "https://shop.example:8443/a?b=c@d",
            "https://shop.example:8443/a?b=c@d",
            "https://shop.example:8443",
        ),
        ("http://127.0.0.1:80/", "http://127.0.0.1/", "http://127.0.0.1"),
        ("http://127.0.0.1:443/", "http://127.0.0.1:443/", "http://127.0.0.1:443"),
        ("https://[2001:DB8::1]:9/a", "https://[2001:db8::1]:9/a", "https://[2001:db8::1]:9"),
    ],
)
def test_one_spelling(written: str, url: str, origin: str):
    assert web_address(written) == (url, origin)
    assert web_address(url) == (url, origin)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "shop.example/a",
        "ftp://shop.example/a",
        "https://",
        "https:///a",
        "https://user@shop.example/",
        "https://user:word@shop.example/",
        "https://shop.example/#part",
        "https://shop.example\\@evil.example/",
        "https://shop.example/a b",
        "https://shop.example/\n",
        "https://shop.example:0/",
        "https://shop.example:65536/",
        "https://shop.example:x/",
        "https://[::1/",
        "https://餐馆.example/",
        "https://shop.example/" + "a" * WEBHOOK_URL_CHARS_MAX,
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(written: str):
    with pytest.raises(ValueError, match=r".+"):
        web_address(written)
