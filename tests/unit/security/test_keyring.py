import base64
import pickle
import stat

import pytest

from security.errors import KeyVersionUnknown, MasterKeyInvalid
from security.keyring import MasterKeys


def line(version, fill=None, size=32):
    return f"v{version}:{base64.b64encode(bytes([fill or version] * size)).decode()}"


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        (line(1), (1,)),
        (line(1) + "\n", (1,)),
        (f"# first\n\n{line(1)}\r\n  {line(2)}  \n{line(7)}\n", (1, 2, 7)),
        (line(65535, 1), (65535,)),
    ],
)
def test_text_form(text, versions):
    keys = MasterKeys.from_text(text, source="test")
    assert keys.versions == versions
    assert (keys.first_version, keys.current_version) == (versions[0], versions[-1])
    assert len(keys.key(versions[-1])) == 32


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no master key"),
        ("# nothing\n", "no master key"),
        ("v1", "test, line 1: a line looks like"),
        (line(1)[3:], "looks like"),
        (line(0, 9), "looks like"),
        ("v-1" + line(1)[2:], "looks like"),
        ("V" + line(1)[1:], "looks like"),
        (line(1).replace(":", ": "), "looks like"),
        (line(1) + "\n" + line(1, 3), "line 2: versions must ascend"),
        (line(2) + "\n" + line(1), "line 2: versions must ascend"),
        (line(1) + "\n" + line(2, 1), "same master key"),
        (line(1, size=16), "has 16 bytes"),
        (line(1, size=33), "has 33 bytes"),
        (line(65536, 1), "not within"),
        (line(1)[:-2], "not standard base64"),
    ],
)
def test_broken_text(text, complaint):
    with pytest.raises(MasterKeyInvalid, match=complaint) as refused:
        MasterKeys.from_text(text, source="test")
    assert "AQEBAQ" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o610, 0o700 | 0o007])
def test_a_shared_file_is_refused(tmp_path, mode):
    path = private(tmp_path / "master.key", line(1))
    path.chmod(mode)
    with pytest.raises(MasterKeyInvalid, match=f"chmod 600 {path}"):
        MasterKeys.from_file(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path, mode):
    path = private(tmp_path / "master.key", line(1) + "\n" + line(2) + "\n")
    path.chmod(mode)
    assert MasterKeys.from_file(path).versions == (1, 2)


def test_unfit_files(tmp_path):
    with pytest.raises(MasterKeyInvalid, match="No such file"):
        MasterKeys.from_file(tmp_path / "absent")
    with pytest.raises(MasterKeyInvalid, match="cannot be read"):
        MasterKeys.from_file(tmp_path)
    with pytest.raises(MasterKeyInvalid, match="16384 bytes"):
        MasterKeys.from_file(private(tmp_path / "long", "#" * 20_000))
    with pytest.raises(MasterKeyInvalid, match="ASCII"):
        MasterKeys.from_file(private(tmp_path / "utf8", "# schlüssel\n" + line(1)))


def test_environment(tmp_path):
    path = private(tmp_path / "master.key", line(3))
    assert MasterKeys.from_environment({"TILLGATE_MASTER_KEY_FILE": str(path)}).versions == (3,)
    assert MasterKeys.from_environment(
        {"TILLGATE_MASTER_KEY": line(1) + "\n" + line(2), "TILLGATE_MASTER_KEY_FILE": ""}
    ).versions == (1, 2)
    with pytest.raises(MasterKeyInvalid, match="both"):
        MasterKeys.from_environment(
            {"TILLGATE_MASTER_KEY": line(1), "TILLGATE_MASTER_KEY_FILE": str(path)}
        )
    with pytest.raises(MasterKeyInvalid, match="set TILLGATE_MASTER_KEY_FILE"):
        MasterKeys.from_environment({})


def test_generate_and_rotate(tmp_path):
    path = tmp_path / "master.key"
    first = MasterKeys.generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert MasterKeys.from_file(path).key(1) == first.key(1)
    with pytest.raises(FileExistsError):
        MasterKeys.generate(path)

    second = first.rotate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert second.versions == MasterKeys.from_file(path).versions == (1, 2)
    assert second.key(1) == first.key(1) != second.key(2)
    with pytest.raises(MasterKeyInvalid, match="changed since"):
        first.rotate(path)
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_version_says_what_to_do():
    with pytest.raises(
        KeyVersionUnknown, match=r"v2 is not in the keyring \(v1, v3\): put its line back"
    ):
        MasterKeys.from_text(line(1) + "\n" + line(3), source="test").key(2)


def test_never_shown():
    keys = MasterKeys.from_text(line(1), source="test")
    assert repr(keys) == str(keys) == "MasterKeys(versions=(1,))"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(keys)
