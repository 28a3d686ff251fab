import base64
import string

import pytest
from standardwebhooks.webhooks import Webhook

from gateway.limits import WEBHOOK_TOLERANCE_S
from security.secret import Secret
from security.webhook_signature import (
    WebhookSecretUnfit,
    WebhookSignatureInvalid,
    new_secret,
    signed_headers,
    verify,
)

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
MESSAGE, TS, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
# The vector in the tests of the standard's own libraries.
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = Secret("whsec_" + base64.b64encode(bytes(range(32))).decode())


def headers(**changed: str) -> dict[str, str]:
    return {"webhook-id": MESSAGE, "webhook-timestamp": str(TS), "webhook-signature": SIGNATURE} | {
        name.replace("_", "-"): value for name, value in changed.items()
    }


def test_vector():
    assert signed_headers([SECRET], message_id=MESSAGE, timestamp=TS, body=BODY) == headers()
    assert verify(SECRET, headers(), BODY, now_s=TS) == MESSAGE


def test_a_rotating_secret_signs_beside_its_predecessor():
    made = signed_headers([OTHER, SECRET], message_id=MESSAGE, timestamp=TS, body=BODY)
    assert made["webhook-signature"].split(" ")[1] == SIGNATURE
    assert verify(SECRET, made, BODY, now_s=TS) == verify(OTHER, made, BODY, now_s=TS) == MESSAGE
    assert (
        verify(SECRET, headers(webhook_signature=f"v1a,AAAA v2,what {SIGNATURE}"), BODY, now_s=TS)
        == MESSAGE
    )


def test_every_flipped_character_is_refused():
    """Of the body, the id, the time and the signature;
    in the signature also the bits that base64 leaves unused.
    """
    for place in range(len(BODY)):
        flipped = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        refused(headers(), flipped)
    for name, value in headers().items():
        for place, character in enumerate(value):
            for other in string.ascii_letters[:4] + string.digits + "+/=,. ":
                if other != character:
                    refused(headers() | {name: value[:place] + other + value[place + 1 :]}, BODY)


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({"webhook_id": ""}, BODY),
        ({"webhook_id": MESSAGE.replace("p5", "p.5")}, BODY),
        ({"webhook_timestamp": ""}, BODY),
        ({"webhook_timestamp": f" {TS}"}, BODY),
        ({"webhook_timestamp": f"{TS}.0"}, BODY),
        ({"webhook_timestamp": "１６１４２６５３３０"}, BODY),
        ({"webhook_signature": ""}, BODY),
        ({"webhook_signature": SIGNATURE.removeprefix("v1,")}, BODY),
        ({"webhook_signature": SIGNATURE.rstrip("=")}, BODY),
        ({"webhook_signature": SIGNATURE.replace("v1", "v1a")}, BODY),
        ({"webhook_signature": SIGNATURE.replace(" ", "，")[:-1] + "＝"}, BODY),
        ({"webhook_signature": " ".join([SIGNATURE] * 30)}, BODY),
        ({}, BODY + b" "),
        ({}, b""),
    ],
)
def test_malformed(changed: dict[str, str], body: bytes):
    refused(headers(**changed), body)


def test_another_secret():
    with pytest.raises(WebhookSignatureInvalid, match="no signature matches"):
        verify(OTHER, headers(), BODY, now_s=TS)


def test_nothing_at_all():
    refused({}, BODY)


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [
        (0, True),
        (WEBHOOK_TOLERANCE_S, True),
        (-WEBHOOK_TOLERANCE_S, True),
        (WEBHOOK_TOLERANCE_S + 1, False),
        (-WEBHOOK_TOLERANCE_S - 1, False),
    ],
)
def test_window(seconds: int, holds: bool):
    if holds:
        assert verify(SECRET, headers(), BODY, now_s=TS + seconds)
    else:
        with pytest.raises(WebhookSignatureInvalid, match="s away"):
            verify(SECRET, headers(), BODY, now_s=TS + seconds)


def test_a_full_stop_cannot_move_between_id_and_time():
    with pytest.raises(ValueError, match="full stops"):
        signed_headers([SECRET], message_id="evt_1.2", timestamp=TS, body=BODY)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-w", "base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "bytes"),
    ],
)
def test_unfit_secrets(text: str, why: str):
    with pytest.raises(WebhookSecretUnfit, match=why) as refusal:
        signed_headers([Secret(text)], message_id=MESSAGE, timestamp=TS, body=BODY)
    assert text not in str(refusal.value)
    with pytest.raises(WebhookSecretUnfit, match="at least one"):
        signed_headers([], message_id=MESSAGE, timestamp=TS, body=BODY)


def test_new_secrets_differ_and_are_understood_elsewhere():
    secret, other = new_secret(), new_secret()
    assert secret != other
    made = signed_headers([secret], message_id=MESSAGE, timestamp=TS, body=BODY)
    key = Webhook(secret.reveal())._whsecret
    assert made == signed_headers(
        [Secret("whsec_" + base64.b64encode(key).decode())],
        message_id=MESSAGE,
        timestamp=TS,
        body=BODY,
    )
    assert len(key) == 32


def refused(changed: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookSignatureInvalid):
        verify(SECRET, changed, body, now_s=TS)
