"""Which certificates of an Alipay account are to be trusted."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from adapters.alipay.certificates import certificates
from adapters.alipay.credentials import Credentials
from security.secret import Secret

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
KEYS = {
    name: rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    for name in ("root", "between", "leaf", "other")
}


def named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def issued(subject: str, issuer: str, *, by: str | None = None, until: datetime = END) -> str:
    """PEM; `by`: the key that signs, when it is not the issuer's."""
    builder = x509.CertificateBuilder(
        named(issuer),
        named(subject),
        KEYS[subject].public_key(),
        x509.random_serial_number(),
        BEGIN,
        until,
    )
    signed = builder.sign(KEYS[by or issuer], hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def elliptic_root() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        named("elliptic"), named("elliptic"), key.public_key(), 1, BEGIN, END
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


ROOT, OTHER_ROOT = issued("root", "root"), issued("other", "other")
BETWEEN = issued("between", "root")
LEAF = issued("leaf", "between")
DIRECT = issued("leaf", "root")


def account(alipay: str, roots: str, app: str = LEAF) -> Credentials:
    return Credentials(
        app_id="a",
        seller_id="2088",
        gateway_url="https://openapi.alipay.com/gateway.do",
        mode="certificate",
        app_private_key=Secret("x"),
        app_certificate=app,
        alipay_certificate=alipay,
        alipay_root_certificate=roots,
    )


@pytest.mark.parametrize(
    ("alipay", "roots", "trusted"),
    [
        (DIRECT, ROOT, True),
        (LEAF + BETWEEN, ROOT, True),
        (LEAF + BETWEEN, elliptic_root() + OTHER_ROOT + ROOT, True),
        (LEAF + BETWEEN + ROOT, ROOT, True),
        (LEAF, BETWEEN, True),  # what is in the bundle of roots is a root
        (LEAF, ROOT, False),  # who issued it is missing
        (LEAF + BETWEEN, OTHER_ROOT, False),
        (LEAF + BETWEEN, elliptic_root(), False),
        (DIRECT, OTHER_ROOT, False),
        (issued("leaf", "root", by="other"), ROOT, False),  # the name is right, the key is not
        (issued("leaf", "leaf"), ROOT, False),
        (LEAF + issued("between", "root", by="other"), ROOT, False),
    ],
)
def test_alipays_certificate_leads_to_a_root(alipay: str, roots: str, trusted: bool) -> None:
    mine, theirs = certificates(account(alipay, roots))
    assert (mine.name, mine.fault) == ("app_certificate", None)
    assert theirs.name == "alipay_certificate"
    assert (theirs.fault is None) is trusted


def test_each_says_until_when_it_is_good() -> None:
    soon = BEGIN + timedelta(days=3)
    mine, theirs = certificates(account(DIRECT, ROOT, app=issued("leaf", "other", until=soon)))
    assert (mine.not_before, mine.not_after) == (BEGIN, soon)
    assert (theirs.not_before, theirs.not_after) == (BEGIN, END)


def test_a_public_key_has_no_certificate() -> None:
    plain = Credentials(
        app_id="a",
        seller_id="2088",
        gateway_url="https://openapi.alipay.com/gateway.do",
        mode="public_key",
        app_private_key=Secret("x"),
        alipay_public_key="MIIB",
    )
    assert certificates(plain) == ()


def test_what_is_no_certificate_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="PEM"):
        certificates(account("no certificate", ROOT))
