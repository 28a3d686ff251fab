"""Which addresses an account may have: money orders go over TLS, at either host."""

import pytest

from adapters._template.credentials import Credentials
from gateway.storage.registries.credentials import CredentialsInvalid, refuse_unsafe_addresses
from security.secret import Secret

TLS, PLAIN, HERE = "https://pay.example", "http://pay.example", "http://127.0.0.1:4001"


@pytest.mark.parametrize(
    ("main", "second", "allow_loopback", "refused"),
    [
        (TLS, None, False, None),
        (TLS, "https://pay2.example", False, None),
        (PLAIN, None, False, "base_url"),
        (TLS, PLAIN, False, "second_base_url"),
        (TLS, HERE, False, "second_base_url"),
        (HERE, HERE, True, None),
        ("http://localhost:4001", "http://[::1]:4001", True, None),
        (PLAIN, None, True, "base_url"),
        (HERE, PLAIN, True, "second_base_url"),
        ("http://127.0.0.1.pay.example", None, True, "base_url"),
        ("http://127.0.0.1@pay.example", None, True, "base_url"),
        (TLS, None, True, None),
    ],
)
def test_both_hosts_are_looked_at(
    main: str, second: str | None, *, allow_loopback: bool, refused: str | None
) -> None:
    account = Credentials(merchant_id="m1", base_url=main, second_base_url=second, key=Secret("k"))
    if refused is None:
        refuse_unsafe_addresses(account, allow_loopback=allow_loopback)
        return
    with pytest.raises(CredentialsInvalid, match=rf"^{refused} is plain http"):
        refuse_unsafe_addresses(account, allow_loopback=allow_loopback)
