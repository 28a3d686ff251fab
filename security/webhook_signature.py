"""The signature of a webhook: HMAC-SHA256 as Standard Webhooks 1.0.0 lays down ("Signature scheme",
"Webhook headers").

Signed is `{id}.{timestamp}.{body}`, the body byte for byte as sent. The header carries one
`v1,<base64>` for each live secret, separated by blanks, so that a receiver may hold either while a
secret rotates. Neither id nor timestamp can hold a full stop: with one, the border between them
could be moved without breaking the signature.
"""

import base64
import binascii
import hmac
import re
import secrets as chance
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.limits import (
    WEBHOOK_SECRET_BYTES,
    WEBHOOK_SECRET_BYTES_MAX,
    WEBHOOK_SECRET_BYTES_MIN,
    WEBHOOK_SIGNATURE_CHARS_MAX,
    WEBHOOK_TOLERANCE_S,
)
from security.secret import Secret

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
PREFIX: Final = "whsec_"


class WebhookSignatureInvalid(Exception):
    """The message was not signed with this secret, or is too old to be believed; the text says
    which and what to do.
    """


class WebhookSecretUnfit(ValueError):
    """A text that cannot be a webhook secret; the text of this error never holds it."""


def signed_headers(
    secrets: Sequence[Secret], *, message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The three headers of one try.

    `secrets`: every live one, newest first; `timestamp`: unix seconds of this try, not of the
    event.

    Raises WebhookSecretUnfit, or ValueError for an id that cannot be signed.
    """
    if not secrets:
        raise WebhookSecretUnfit("a webhook is signed with at least one secret")
    if _ID.fullmatch(message_id) is None:
        raise ValueError("a webhook id is printable ASCII without blanks and full stops")
    values = [f"v1,{_sign(_key(secret), message_id, str(timestamp), body)}" for secret in secrets]
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(values)}


def verify(
    secret: Secret,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    tolerance_s: int = WEBHOOK_TOLERANCE_S,
) -> str:
    """For receivers: the id of a message that the holder of `secret` signed within `tolerance_s` of
    `now_s` (unix seconds, either side).

    `headers` has lower-case names, or does not distinguish case; `body` is raw. Whoever receives
    keeps the ids it has seen: the same message may come again. Raises WebhookSignatureInvalid.
    """
    message_id, timestamp, signature = (
        headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE)
    )
    if _ID.fullmatch(message_id) is None or _UNIX_SECONDS.fullmatch(timestamp) is None:
        raise WebhookSignatureInvalid(f"{ID} or {TIMESTAMP} is missing or malformed")
    if len(signature) > WEBHOOK_SIGNATURE_CHARS_MAX or not signature.isascii():
        raise WebhookSignatureInvalid(
            f"{SIGNATURE} is longer than {WEBHOOK_SIGNATURE_CHARS_MAX} characters, or not ASCII"
        )
    expected = f"v1,{_sign(_key(secret), message_id, timestamp, body)}"
    if not any([hmac.compare_digest(expected, each) for each in signature.split(" ")]):  # noqa: C419 - all are compared, always
        raise WebhookSignatureInvalid(
            "no signature matches: verify the raw body, before it is parsed, "
            "with this endpoint's secret"
        )
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise WebhookSignatureInvalid(
            f"{TIMESTAMP} is more than {tolerance_s} s away: "
            f"an old message played again, or a wrong clock here"
        )
    return message_id


def new_secret() -> Secret:
    """`whsec_` and 32 random bytes of the operating system as base64:
    a simulation may replay ids, never keys.
    """
    return Secret(
        PREFIX + base64.b64encode(chance.token_bytes(WEBHOOK_SECRET_BYTES)).decode("ascii")
    )


_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)
_UNIX_SECONDS = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def _sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    return base64.b64encode(
        hmac.digest(key, f"{message_id}.{timestamp}.".encode("ascii") + body, "sha256")
    ).decode("ascii")


def _key(secret: Secret) -> bytes:
    """The bytes behind the prefix: 24 to 64 of them, in standard base64 with padding."""
    text = secret.reveal()
    if not text.startswith(PREFIX):
        raise WebhookSecretUnfit(f"a webhook secret begins with {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise WebhookSecretUnfit(
            f"a webhook secret is {PREFIX} and standard base64 with padding"
        ) from None
    if not WEBHOOK_SECRET_BYTES_MIN <= len(key) <= WEBHOOK_SECRET_BYTES_MAX:
        raise WebhookSecretUnfit(
            f"a webhook secret has {WEBHOOK_SECRET_BYTES_MIN} to {WEBHOOK_SECRET_BYTES_MAX} bytes"
        )
    return key
