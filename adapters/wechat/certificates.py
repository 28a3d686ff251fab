"""The platform certificates of a WeChat Pay account: until when each is good. Pure.

The account holds no root of WeChat Pay's, so none is judged: they come from its certificate tool,
which asks over a signed line.
"""

from collections.abc import Sequence

from cryptography import x509

from adapters.channel import Certificate
from adapters.wechat.credentials import Credentials


def certificates(credentials: Credentials) -> Sequence[Certificate]:
    """Raises ValueError for what is no certificate."""
    loaded = (
        x509.load_pem_x509_certificate(each.encode()) for each in credentials.platform_certificates
    )
    return tuple(
        Certificate(
            name="platform_certificates",
            not_before=each.not_valid_before_utc,
            not_after=each.not_valid_after_utc,
        )
        for each in loaded
    )
