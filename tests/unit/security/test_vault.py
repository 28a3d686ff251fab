import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.limits import DIGEST_PURPOSES_MAX
from security.errors import KeyVersionUnknown, VaultSealBroken
from security.keyring import MasterKeys
from security.vault import Vault, sealed_version

ROW = "channel_account/acct_1"
SECRET = b"-----BEGIN PRIVATE KEY-----"
V1, V2 = bytes(range(32)), bytes(range(32, 64))
OLD, NEW, LATER = (
    Vault(MasterKeys({1: V1})),
    Vault(MasterKeys({1: V1, 2: V2})),
    Vault(MasterKeys({2: V2})),
)


def hkdf(key, label):
    """RFC 5869 with SHA-256, no salt, one block:
    written again from the RFC, to hold the format fast.
    """
    pseudorandom = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(pseudorandom, b"tillgate/1/" + label + b"\x01", "sha256")


@pytest.mark.parametrize("plaintext", [b"", b"x", SECRET, bytes(65_536)])
def test_round_trip(plaintext):
    assert OLD.open(OLD.seal(plaintext, about=ROW), about=ROW) == plaintext


def test_format_holds_for_ever():
    sealed = OLD.seal(SECRET, about=ROW)
    assert sealed[:3] == b"\x01\x00\x01"
    assert (
        AESGCM(hkdf(V1, b"seal")).decrypt(sealed[3:15], sealed[15:], b"\x01\x00\x01" + ROW.encode())
        == SECRET
    )
    by_hand = (
        b"\x01\x00\x01"
        + bytes(12)
        + AESGCM(hkdf(V1, b"seal")).encrypt(bytes(12), SECRET, b"\x01\x00\x01" + ROW.encode())
    )
    assert OLD.open(by_hand, about=ROW) == SECRET


def test_two_seals_differ():
    assert len({OLD.seal(SECRET, about=ROW)[3:15] for _ in range(1000)}) == 1000
    assert SECRET not in OLD.seal(SECRET, about=ROW)


@pytest.mark.parametrize(
    "about",
    [
        "channel_account/acct_2",
        "channel_account/acct_1 ",
        "channel_account/acct_",
        "webhook_endpoint/acct_1",
    ],
)
def test_moved_to_another_row(about):
    with pytest.raises(VaultSealBroken, match="belongs to another row"):
        OLD.open(OLD.seal(SECRET, about=ROW), about=about)


def test_every_bit_counts():
    sealed = NEW.seal(SECRET, about=ROW)
    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            with pytest.raises((VaultSealBroken, KeyVersionUnknown)):
                NEW.open(bytes(changed), about=ROW)


@pytest.mark.parametrize("cut", [0, 1, 3, 15, 30])
def test_cut(cut):
    with pytest.raises(VaultSealBroken, match="cut or never sealed"):
        OLD.open(OLD.seal(b"", about=ROW)[:cut], about=ROW)


def test_newer_format():
    with pytest.raises(VaultSealBroken, match="newer release"):
        OLD.open(b"\x02" + OLD.seal(SECRET, about=ROW)[1:], about=ROW)


def test_relabelled_to_another_key():
    sealed = NEW.seal(SECRET, about=ROW)
    with pytest.raises(VaultSealBroken, match="under master key v1"):
        NEW.open(b"\x01\x00\x01" + sealed[3:], about=ROW)


def test_rotation():
    sealed = OLD.seal(SECRET, about=ROW)
    assert NEW.open(sealed, about=ROW) == SECRET
    with pytest.raises(KeyVersionUnknown, match="v1 is not in the keyring"):
        LATER.open(sealed, about=ROW)

    resealed = NEW.resealed(sealed, about=ROW)
    assert (sealed_version(sealed, about=ROW), sealed_version(resealed, about=ROW)) == (1, 2)
    assert LATER.open(resealed, about=ROW) == SECRET
    assert NEW.resealed(resealed, about=ROW) is resealed
    with pytest.raises(VaultSealBroken):
        NEW.resealed(sealed, about="channel_account/acct_2")
    with pytest.raises(KeyVersionUnknown):
        OLD.open(resealed, about=ROW)


def test_same_version_of_another_keyring():
    with pytest.raises(VaultSealBroken, match="another key when it was sealed"):
        Vault(MasterKeys({1: V2})).open(OLD.seal(SECRET, about=ROW), about=ROW)


@pytest.mark.parametrize(
    ("plaintext", "about"), [(bytes(65_537), ROW), (b"x", ""), (b"x", "a" * 201)]
)
def test_out_of_bounds(plaintext, about):
    with pytest.raises(ValueError, match=r"at most|characters"):
        OLD.seal(plaintext, about=about)


def test_digest():
    digest = OLD.digest("auth_code", "280000000000000000")
    assert (
        digest
        == hmac.new(
            hkdf(V1, b"digest/auth_code"), b"280000000000000000", hashlib.sha256
        ).hexdigest()
    )
    assert OLD.digest("auth_code", "280000000000000000") == digest
    assert OLD.digest("card", "280000000000000000") != digest
    assert OLD.digest("auth_code", "280000000000000001") != digest


def test_digest_survives_rotation_and_depends_on_the_key():
    assert NEW.digest("auth_code", "x") == OLD.digest("auth_code", "x")
    assert LATER.digest("auth_code", "x") != OLD.digest("auth_code", "x")


def test_digest_purposes_are_bounded():
    vault = Vault(MasterKeys({1: V1}))
    for number in range(DIGEST_PURPOSES_MAX):
        vault.digest(f"purpose {number}", "x")
    with pytest.raises(AssertionError, match="constants"):
        vault.digest("one more", "x")


def test_never_shown():
    assert repr(NEW) == "Vault(MasterKeys(versions=(1, 2)))"
