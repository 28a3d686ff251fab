import hashlib
import hmac
import re

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.limits import DIGEST_PURPOSES_MAX
from security.errors import KeyVersionUnknown, NoCommonSeal, SealFormUnknown, VaultSealBroken
from security.keyring import MasterKeys
from security.vault import About, Seal, Vault, sealed_as

ROW = About("api_key/tk_1", ("merchant=mer_1", "store=sto_1", "role=terminal"))
SECRET = b"-----BEGIN PRIVATE KEY-----"
V1, V2 = bytes(range(32)), bytes(range(32, 64))
OLD, NEW, LATER = (
    Vault(MasterKeys({1: V1})),
    Vault(MasterKeys({1: V1, 2: V2})),
    Vault(MasterKeys({2: V2})),
)
ROW_ONLY, RIGHTS, RIGHTS_2 = Seal(1, 1), Seal(1, 2), Seal(2, 2)


def hkdf(key, label):
    """RFC 5869 with SHA-256, no salt, one block:
    written again from the RFC, to hold the format fast.
    """
    pseudorandom = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(pseudorandom, b"tillgate/1/" + label + b"\x01", "sha256")


@pytest.mark.parametrize("seal", [ROW_ONLY, RIGHTS])
@pytest.mark.parametrize("plaintext", [b"", b"x", SECRET, bytes(65_536)])
def test_round_trip(plaintext, seal):
    assert OLD.open(OLD.seal(plaintext, about=ROW, as_=seal), about=ROW) == plaintext


@pytest.mark.parametrize(
    ("seal", "bound_to"),
    [
        (ROW_ONLY, b"\x01\x00\x01api_key/tk_1"),
        (
            RIGHTS,
            b"\x02\x00\x01api_key/tk_1\0merchant=mer_1\0store=sto_1\0role=terminal\0",
        ),
    ],
)
def test_both_forms_hold_for_ever(seal, bound_to):
    cipher = AESGCM(hkdf(V1, b"seal"))
    sealed = OLD.seal(SECRET, about=ROW, as_=seal)
    assert sealed[:3] == bound_to[:3]
    assert cipher.decrypt(sealed[3:15], sealed[15:], bound_to) == SECRET
    by_hand = bound_to[:3] + bytes(12) + cipher.encrypt(bytes(12), SECRET, bound_to)
    assert OLD.open(by_hand, about=ROW) == SECRET


def test_two_seals_differ():
    assert len({OLD.seal(SECRET, about=ROW, as_=RIGHTS)[3:15] for _ in range(1000)}) == 1000
    assert SECRET not in OLD.seal(SECRET, about=ROW, as_=RIGHTS)


@pytest.mark.parametrize("seal", [ROW_ONLY, RIGHTS])
@pytest.mark.parametrize(
    "row", ["api_key/tk_2", "api_key/tk_1 ", "api_key/tk_", "webhook_endpoint/tk_1"]
)
def test_moved_to_another_row(row, seal):
    with pytest.raises(VaultSealBroken, match="belongs to another row"):
        OLD.open(OLD.seal(SECRET, about=ROW, as_=seal), about=About(row, ROW.rights))


@pytest.mark.parametrize(
    "rights",
    [
        ("merchant=mer_2", "store=sto_1", "role=terminal"),
        ("merchant=mer_1", "store=sto_2", "role=terminal"),
        ("merchant=mer_1", "store=sto_1", "role=merchant"),
        ("merchant=mer_1", "role=terminal"),
        ("merchant=mer_1", "store=sto_1", "role=terminal", "environment=live"),
        (),
    ],
)
def test_other_rights_do_not_open_it(rights):
    sealed = OLD.seal(SECRET, about=ROW, as_=RIGHTS)
    with pytest.raises(VaultSealBroken, match="other rights"):
        OLD.open(sealed, about=About(ROW.row, rights))
    with pytest.raises(VaultSealBroken):  # nor when it is said to be of the older form
        OLD.open(b"\x01" + sealed[1:], about=About(ROW.row, rights))


def test_the_older_form_can_be_refused():
    strict = Vault(MasterKeys({1: V1}), opens_old=False)
    sealed = OLD.seal(SECRET, about=ROW, as_=ROW_ONLY)
    with pytest.raises(VaultSealBroken, match="TILLGATE_OLD_SEALS"):
        strict.open(sealed, about=ROW)
    assert strict.open(OLD.resealed(sealed, about=ROW, as_=RIGHTS), about=ROW) == SECRET


def test_every_bit_counts():
    sealed = NEW.seal(SECRET, about=ROW, as_=RIGHTS_2)
    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            with pytest.raises((VaultSealBroken, KeyVersionUnknown, SealFormUnknown)):
                NEW.open(bytes(changed), about=ROW)


@pytest.mark.parametrize("cut", [0, 1, 3, 15, 30])
def test_cut(cut):
    with pytest.raises(VaultSealBroken, match="cut or never sealed"):
        OLD.open(OLD.seal(b"", about=ROW, as_=RIGHTS)[:cut], about=ROW)


def test_newer_form():
    with pytest.raises(SealFormUnknown, match="newer release"):
        OLD.open(b"\x03" + OLD.seal(SECRET, about=ROW, as_=RIGHTS)[1:], about=ROW)


def test_relabelled_to_another_key():
    sealed = NEW.seal(SECRET, about=ROW, as_=RIGHTS_2)
    with pytest.raises(VaultSealBroken, match="under master key v1"):
        NEW.open(b"\x02\x00\x01" + sealed[3:], about=ROW)


def test_rotation():
    sealed = OLD.seal(SECRET, about=ROW, as_=ROW_ONLY)
    assert NEW.open(sealed, about=ROW) == SECRET
    with pytest.raises(KeyVersionUnknown, match="v1 is not in the keyring"):
        LATER.open(sealed, about=ROW)

    resealed = NEW.resealed(sealed, about=ROW, as_=NEW.newest)
    assert (sealed_as(sealed, about=ROW), sealed_as(resealed, about=ROW)) == (ROW_ONLY, RIGHTS_2)
    assert LATER.open(resealed, about=ROW) == SECRET
    assert NEW.resealed(resealed, about=ROW, as_=NEW.newest) is resealed
    with pytest.raises(VaultSealBroken):
        NEW.resealed(sealed, about=About("api_key/tk_2"), as_=NEW.newest)
    with pytest.raises(KeyVersionUnknown):
        OLD.open(resealed, about=ROW)


def test_same_version_of_another_keyring():
    with pytest.raises(VaultSealBroken, match="another key when it was sealed"):
        Vault(MasterKeys({1: V2})).open(OLD.seal(SECRET, about=ROW, as_=RIGHTS), about=ROW)


@pytest.mark.parametrize(
    ("plaintext", "about"),
    [
        (bytes(65_537), ROW),
        (b"x", About("")),
        (b"x", About("a" * 513)),
        (b"x", About("a" * 500, ("b" * 13,))),
        (b"x", About("a", ("merchant=m\0role=merchant",))),
    ],
)
def test_out_of_bounds(plaintext, about):
    with pytest.raises(ValueError, match=r"at most|characters|NUL"):
        OLD.seal(plaintext, about=about, as_=RIGHTS)


OTHER_2 = Vault(MasterKeys({1: V1, 2: bytes(range(64, 96))}))
STRICT = Vault(MasterKeys({1: V1, 2: V2}), opens_old=False)


@pytest.mark.parametrize(
    ("living", "agreed"),
    [
        ([], RIGHTS_2),  # nobody has to open it now
        ([NEW.knows], RIGHTS_2),
        ([NEW.knows, STRICT.knows], RIGHTS_2),
        ([NEW.knows, OLD.knows], RIGHTS),  # one worker has not read the new key yet
        ([NEW.knows, OTHER_2.knows], RIGHTS),  # another key under the same number
        ([NEW.knows, None], ROW_ONLY),  # one is of a release that says nothing
        ([None], ROW_ONLY),
        ([{"master_key/1/00000000", "seal/2"}], None),  # other keys altogether
        ([STRICT.knows, None], None),
        ([LATER.knows], RIGHTS_2),
        ([LATER.knows, OLD.knows], None),
    ],
)
def test_only_what_every_living_worker_opens_is_sealed(living, agreed):
    if agreed is None:
        with pytest.raises(NoCommonSeal, match="same key file"):
            NEW.agreed(living)
    else:
        assert NEW.agreed(living) == agreed


def test_what_a_worker_knows_tells_nothing_of_its_keys():
    assert {word.rpartition("/")[0] for word in NEW.knows} == {
        "master_key/1",
        "master_key/2",
        "seal",
    }
    (check,) = (word.rpartition("/")[2] for word in OLD.knows if word.startswith("master_key/1"))
    assert re.fullmatch(r"[0-9a-f]{8}", check)
    assert check not in V1.hex()


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
