import copy
import json
import pickle
import pprint

import msgspec
import pytest

from security.secret import Secret, decode_hook

CANARY = "canary-7f3a"


class Account(msgspec.Struct, frozen=True):
    id: str
    api_key: Secret
    spare: Secret | None = None


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>20}",
        lambda secret: f"{secret:s}",
        lambda secret: "%s" % secret,  # noqa: UP031 - the old way must hide too
        lambda secret: pprint.pformat({"a": [secret]}),
        lambda secret: json.dumps({"a": secret}, default=str),
        lambda secret: repr(Account("acct_1", secret)),
    ],
)
def test_never_shown(show):
    text = show(Secret(CANARY))
    assert "***" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        lambda secret: msgspec.json.encode(Account("acct_1", secret)),
        lambda secret: "key=" + secret,
        bytes,
        vars,
        hash,
    ],
)
def test_never_encoded(leak):
    with pytest.raises(TypeError) as refused:
        leak(Secret(CANARY))
    assert CANARY not in str(refused.value)


def test_frozen():
    secret = Secret(CANARY)
    with pytest.raises(AttributeError):
        secret._text = "other"
    with pytest.raises(AttributeError):
        del secret._text
    with pytest.raises(AttributeError):
        secret.more = 1
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (Secret(CANARY), True),
        (Secret(CANARY + "x"), False),
        (Secret("付款"), False),
        (CANARY, False),
        (None, False),
    ],
)
def test_equality(other, equal):
    assert (Secret(CANARY) == other) is equal


def test_empty_or_foreign_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Secret("")
    with pytest.raises(TypeError):
        Secret(b"bytes")  # type: ignore[arg-type]


def test_structs_hold_secrets():
    account = msgspec.json.decode(
        b'{"id":"acct_1","api_key":"canary-7f3a"}', type=Account, dec_hook=decode_hook
    )
    assert account.api_key.reveal() == CANARY
    assert account.spare is None
    again = msgspec.convert(
        {"id": "a", "api_key": account.api_key, "spare": "x"}, Account, dec_hook=decode_hook
    )
    assert again.api_key == account.api_key


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"a","api_key":""}',
        b'{"id":"a","api_key":17}',
        b'{"id":"a","api_key":["canary-7f3a"]}',
    ],
)
def test_a_refused_secret_is_named_not_quoted(body):
    with pytest.raises(msgspec.ValidationError, match="api_key") as refused:
        msgspec.json.decode(body, type=Account, dec_hook=decode_hook)
    assert CANARY not in str(refused.value)


def test_decode_hook_knows_nothing_else():
    with pytest.raises(NotImplementedError):
        decode_hook(complex, "1j")
