"""Where a webhook may go, as tables: one line an address, the expectation in the last column."""

from ipaddress import ip_address

import pytest

from security.public_address import UnsafeAddress, is_public, refuse_unsafe_url

ADDRESSES = """
1.1.1.1                                  public
8.8.8.8                                  public
93.184.216.34                            public
100.63.255.255                           public
100.128.0.0                              public
172.15.255.255                           public
172.32.0.0                               public
192.167.255.255                          public
198.17.255.255                           public
198.20.0.0                               public
223.255.255.255                          public
0.0.0.0                                  refused
0.1.2.3                                  refused
10.0.0.1                                 refused
10.255.255.255                           refused
100.64.0.1                               refused
100.100.100.200                          refused
100.127.255.255                          refused
127.0.0.1                                loopback
127.255.255.254                          loopback
168.63.129.16                            refused
169.254.0.1                              refused
169.254.169.254                          refused
169.254.170.2                            refused
172.16.0.1                               refused
172.31.255.255                           refused
192.0.0.1                                refused
192.0.0.192                              refused
192.0.2.1                                refused
192.88.99.1                              refused
192.168.0.1                              refused
192.168.255.255                          refused
198.18.0.1                               refused
198.19.255.255                           refused
198.51.100.1                             refused
203.0.113.1                              refused
224.0.0.1                                refused
239.255.255.250                          refused
240.0.0.1                                refused
255.255.255.255                          refused
2606:4700:4700::1111                     public
2400:3200::1                             public
2a00:1450:4001:81b::200e                 public
2001:200::1                              public
64:ff9b::8.8.8.8                         public
::                                       refused
::1                                      loopback
::2                                      refused
::7f00:1                                 refused
::10.0.0.1                               refused
::8.8.8.8                                refused
::ffff:127.0.0.1                         refused
::ffff:10.0.0.1                          refused
::ffff:169.254.169.254                   refused
::ffff:8.8.8.8                           refused
::ffff:0:127.0.0.1                       refused
64:ff9b::127.0.0.1                       refused
64:ff9b::10.1.2.3                        refused
64:ff9b::169.254.169.254                 refused
64:ff9b:1::1                             refused
100::1                                   refused
2001::1                                  refused
2001:0:7f00:1::                          refused
2001:2::1                                refused
2001:10::1                               refused
2001:20::1                               refused
2001:db8::1                              refused
2002:7f00:1::                            refused
2002:a00:1::1                            refused
2002:808:808::1                          refused
3ffe::1                                  refused
3fff::1                                  refused
4000::1                                  refused
5f00::1                                  refused
fc00::1                                  refused
fd00:ec2::254                            refused
fd12:3456:789a::1                        refused
fe80::1                                  refused
fe80::1%eth0                             refused
2606:4700:4700::1111%eth0                refused
febf::1                                  refused
fec0::1                                  refused
ff02::1                                  refused
ff0e::1                                  refused
"""


@pytest.mark.parametrize(
    ("text", "expected"), [tuple(line.split()) for line in ADDRESSES.strip().splitlines()]
)
def test_address(text: str, expected: str):
    assert is_public(ip_address(text), allow_loopback=False) == (expected == "public")
    assert is_public(ip_address(text), allow_loopback=True) == (expected != "refused")


GOOD = """
https://merchant.example/hooks
https://merchant.example
https://merchant.example:443/hooks?shop=1&x=%2F
HTTPS://Merchant.Example/Hooks
https://xn--fiqs8s.example/
https://a_b.example/
https://8.8.8.8/hooks
https://[2606:4700:4700::1111]/hooks
https://hooks.1.example/
https://merchant.example/@home
"""
LOOPBACK = """
http://127.0.0.1:8099/hooks
https://127.0.0.1/hooks
http://127.1.2.3/
http://localhost:8099/hooks
https://LOCALHOST/hooks
http://[::1]:8099/hooks
"""
BAD = r"""
http://merchant.example/hooks
ftp://merchant.example/
file:///etc/passwd
gopher://127.0.0.1:6379/_SET
https:merchant.example
https:/merchant.example
//merchant.example/
https://
https:///hooks
https://:443/
https://merchant.example:80/
https://merchant.example:8443/
https://merchant.example:0443/
https://merchant.example:0/
https://merchant.example:99999/
https://merchant.example:/
https://user@merchant.example/
https://user:password@merchant.example/
https://merchant.example@10.0.0.1/
https://8.8.8.8@169.254.169.254/
https://10.0.0.1#@merchant.example/
https://merchant.example/#part
https://merchant.example\@10.0.0.1/
https://merchant.example\.evil.example/
https://merchant.example%2f@10.0.0.1/
https://%31%32%37.0.0.1/
https://127.0.0.1%00.merchant.example/
https://merchant.example./
https://merchant.example../
https://.merchant.example/
https://merchant..example/
https://-merchant.example/
https://merchant-.example/
https://merchant/
https://metadata/
https://metadata.google.internal/computeMetadata/v1/
https://printer.local/
https://router.lan/
https://intranet/
https://nas.home.arpa/
https://db.localdomain/
https://app.localhost/
https://localhost.localdomain/
https://127.0.0.1.
https://10.0.0.1/
https://169.254.169.254/latest/meta-data/
https://168.63.129.16/
https://0/
https://0.0.0.0/
https://127.1/
https://127.0.1/
https://10.1/
https://2130706433/
https://017700000001/
https://0x7f000001/
https://0x7f.0.0.1/
https://0177.0.0.1/
https://127.0.0.01/
https://127.0.0.0x1/
https://8.8.8.8.8/
https://256.256.256.256/
https://1.2.3/
https://0x/
https://[::]/
https://[::ffff:10.0.0.1]/
https://[::ffff:8.8.8.8]/
https://[::ffff:a00:1]/
https://[64:ff9b::a00:1]/
https://[2002:a00:1::]/
https://[fd00:ec2::254]/
https://[fe80::1]/
https://[fe80::1%25eth0]/
https://[fec0::1]/
https://[ff02::1]/
https://[2001:db8::1]/
https://[8.8.8.8]/
https://[merchant.example]/
https://[2606:4700:4700::1111/
https://2606:4700:4700::1111/
https://[1::2::3]/
https://商户.example/
https://ｍerchant.example/
https://１２７.0.0.1/
https://127。0。0。1/
https://⑧.⑧.⑧.⑧/
https://merchant.example/路径
"""


@pytest.mark.parametrize("url", GOOD.split())
def test_good_url(url: str):
    refuse_unsafe_url(url, allow_loopback=False)
    refuse_unsafe_url(url, allow_loopback=True)


@pytest.mark.parametrize("url", LOOPBACK.split())
def test_loopback_url(url: str):
    refuse_unsafe_url(url, allow_loopback=True)
    with pytest.raises(UnsafeAddress):
        refuse_unsafe_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        *BAD.split(),
        "",
        " https://merchant.example/",
        "https://merchant.example/ ",
        "https://merchant.example/\n",
        "https://merchant .example/",
        "https://merchant.example\t/",
        "https://mer\nchant.example/",
        "https://merchant.example/\x00",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 126 + "example/",
        "https://merchant.example/" + "a" * 2_048,
    ],
)
def test_bad_url(url: str):
    for allow_loopback in (False, True):
        with pytest.raises(UnsafeAddress) as refusal:
            refuse_unsafe_url(url, allow_loopback=allow_loopback)
        assert refusal.value.reason
