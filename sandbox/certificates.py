"""X.509 certificates of a made-up authority, in the shapes the channels hand out."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from sandbox import limits

_DAY = dt.timedelta(days=1)


def name(
    common: str,
    unit: str = "Sandbox Certification Authority",
    organisation: str = "Tillgate Sandbox",
) -> x509.Name:
    """C, O, OU, CN."""
    parts = [(NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, organisation)]
    parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def issue(
    subject: x509.Name,
    key: rsa.RSAPublicKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    *,
    is_ca: bool = False,
) -> x509.Certificate:
    """A certificate valid from yesterday on; signed with RSA and SHA-256."""
    return _draft(subject, issuer, is_ca=is_ca).public_key(key).sign(issuer_key, hashes.SHA256())


def elliptic_root(subject: x509.Name) -> x509.Certificate:
    """A root that is not RSA: real bundles hold one, and its serial number must not be counted."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        _draft(subject, subject, is_ca=True).public_key(key.public_key()).sign(key, hashes.SHA256())
    )


def pem(certificate: x509.Certificate) -> str:
    """PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def serial_hex(certificate: x509.Certificate) -> str:
    """The serial number as 40 upper-case hex digits."""
    return f"{certificate.serial_number:040X}"


def load(text: str) -> x509.Certificate:
    """The certificate of a PEM text."""
    return x509.load_pem_x509_certificate(text.encode())


def _draft(subject: x509.Name, issuer: x509.Name, *, is_ca: bool) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    draft = x509.CertificateBuilder(
        issuer,
        subject,
        None,
        x509.random_serial_number(),
        now - _DAY,
        now + limits.CERTIFICATE_DAYS * _DAY,
    )
    return draft.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
