"""The certificates of an Alipay account, judged before they are trusted: whether Alipay's own one
leads to a root of the bundle it was given with, and until when each is good. Pure.

The console gives three files: the application's certificate (of whatever authority the merchant
chose, so its issuer is not judged), Alipay's with those that issued it behind it, and the roots.
"""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from adapters.alipay.credentials import Credentials
from adapters.channel import Certificate

STRANGER = (
    "leads to no root of alipay_root_certificate: store alipayCertPublicKey_RSA2.crt whole, with "
    "the certificates behind the first, and the alipayRootCert.crt of the same application"
)


def certificates(credentials: Credentials) -> Sequence[Certificate]:
    """In mode `public_key` there are none. Raises ValueError for what is no certificate."""
    if credentials.mode != "certificate":
        return ()
    mine = x509.load_pem_x509_certificate((credentials.app_certificate or "").encode())
    theirs, roots = (
        x509.load_pem_x509_certificates((pem or "").encode())
        for pem in (credentials.alipay_certificate, credentials.alipay_root_certificate)
    )
    fault = None if _leads_to(theirs[0], theirs[1:], roots) else STRANGER
    return (
        _judged("app_certificate", mine),
        _judged("alipay_certificate", theirs[0], fault),
    )


def _judged(name: str, certificate: x509.Certificate, fault: str | None = None) -> Certificate:
    return Certificate(
        name=name,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fault=fault,
    )


def _leads_to(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> bool:
    """Each step is a signature that verifies; a certificate stands at most once on the way."""
    known = leaf
    rest = list(between)
    while True:
        if any(_issued(known, root) for root in roots):
            return True
        issuer = next((each for each in rest if _issued(known, each)), None)
        if issuer is None:
            return False
        rest.remove(issuer)
        known = issuer


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False  # another name, another signature, or a root of a kind that is not ours (SM2)
    return True
