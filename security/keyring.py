"""The master keys: 32-byte AES keys by version, of which the highest is current.

Everything sealed at rest hangs on them.

Text form, in a file or an environment variable: one line a key, `v1:<standard base64 of 32 bytes>`,
versions ascending, blank lines and `#` comments allowed. So the last line is the highest version,
and it is the current one. The file must be readable by its owner alone (0600): a copy of it opens
every secret of every merchant.
"""

import base64
import binascii
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from gateway.limits import MASTER_KEY_BYTES, MASTER_KEY_FILE_BYTES_MAX, MASTER_KEY_VERSION_MAX
from security.errors import KeyVersionUnknown, MasterKeyInvalid

FILE_VARIABLE: Final = "TILLGATE_MASTER_KEY_FILE"
TEXT_VARIABLE: Final = "TILLGATE_MASTER_KEY"


class MasterKeys:
    """Master keys by version. Never empty; its repr shows versions only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise MasterKeyInvalid(
                "there is no master key: a line looks like v1:<base64 of 32 bytes>"
            )
        for version, key in keys.items():
            if not 1 <= version <= MASTER_KEY_VERSION_MAX:
                raise MasterKeyInvalid(
                    f"master key version {version} is not within 1 .. {MASTER_KEY_VERSION_MAX}"
                )
            if len(key) != MASTER_KEY_BYTES:
                raise MasterKeyInvalid(
                    f"master key v{version} has {len(key)} bytes instead of {MASTER_KEY_BYTES}"
                )
        if len(set(keys.values())) != len(keys):
            raise MasterKeyInvalid(
                "two versions hold the same master key: a rotation needs a new one"
            )
        self._keys: Final = dict(sorted(keys.items()))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The keys named by TILLGATE_MASTER_KEY_FILE (a path) or held in TILLGATE_MASTER_KEY (the
        text). Raises MasterKeyInvalid.
        """
        path, text = environment.get(FILE_VARIABLE), environment.get(TEXT_VARIABLE)
        if path and text:
            raise MasterKeyInvalid(
                f"both {FILE_VARIABLE} and {TEXT_VARIABLE} are set: "
                f"keep one, so that it is clear which keys count"
            )
        if path:
            return cls.from_file(Path(path))
        if text:
            return cls.from_text(text, source=TEXT_VARIABLE)
        raise MasterKeyInvalid(
            f"no master key: set {FILE_VARIABLE} to a file with mode 0600, "
            f"or {TEXT_VARIABLE} to its content"
        )

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The keys of a file that nobody but its owner may read or write.

        Raises MasterKeyInvalid, naming the file and the remedy.
        """
        return cls.from_text(_read_private(path), source=str(path))

    @classmethod
    def from_text(cls, text: str, *, source: str) -> Self:
        """The keys of the text form.

        Raises MasterKeyInvalid with the source and line number, never with the line.
        """
        keys: dict[int, bytes] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            version, key = _parse_line(line.strip(), where=f"{source}, line {number}")
            if keys and version <= max(keys):
                raise MasterKeyInvalid(
                    f"{source}, line {number}: "
                    f"versions must ascend, the last line is the current key"
                )
            keys[version] = key
        return cls(keys)

    @classmethod
    def generate(cls, path: Path) -> Self:
        """New keys, one version, in a new file with mode 0600.

        Raises FileExistsError: keys in use are never overwritten.
        """
        keys = cls({1: secrets.token_bytes(MASTER_KEY_BYTES)})
        _write_private(path, _as_text(keys))
        return keys

    def rotate(self, path: Path) -> Self:
        """These keys and a new current one, put in place of the file at `path` whole or not at all.

        Old versions stay: they open what was sealed before, until `Vault.resealed` has gone over
        it.

        Raises MasterKeyInvalid if the file holds other keys than these: another rotation was
        faster. Raises FileExistsError while `<path>.new` exists: another rotation is under way, or
        one was cut off and its file can be removed.
        """
        if _as_text(MasterKeys.from_file(path)) != _as_text(self):
            raise MasterKeyInvalid(f"{path} changed since it was read: load it again, then rotate")
        keys = type(self)(
            {**self._keys, self.current_version + 1: secrets.token_bytes(MASTER_KEY_BYTES)}
        )
        beside = path.with_name(f"{path.name}.new")
        _write_private(beside, _as_text(keys))
        beside.replace(path)
        _sync_folder(path)
        return keys

    @property
    def current_version(self) -> int:
        """The version everything new is sealed under: the highest."""
        return max(self._keys)

    @property
    def first_version(self) -> int:
        """The lowest version; digests are keyed by it (see `security.vault`)."""
        return min(self._keys)

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions, ascending."""
        return tuple(self._keys)

    def key(self, version: int) -> bytes:
        """The 32 bytes of a version. Raises KeyVersionUnknown."""
        try:
            return self._keys[version]
        except KeyError:
            known = ", ".join(f"v{each}" for each in self._keys)
            raise KeyVersionUnknown(
                f"master key v{version} is not in the keyring ({known}): "
                f"put its line back, from the backup of the master key file"
            ) from None

    def __repr__(self) -> str:
        return f"MasterKeys(versions={self.versions})"

    def __reduce_ex__(self, _protocol: object) -> str:
        raise TypeError("master keys are not pickled: load them again in each process")


_LINE = re.compile(r"v([1-9][0-9]{0,4}):([A-Za-z0-9+/]+={0,2})")


def _parse_line(line: str, *, where: str) -> tuple[int, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise MasterKeyInvalid(f"{where}: a line looks like v1:<base64 of 32 bytes>")
    try:
        key = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise MasterKeyInvalid(f"{where}: what follows the colon is not standard base64") from None
    return int(match[1]), key


def _as_text(keys: MasterKeys) -> str:
    return "".join(
        f"v{version}:{base64.b64encode(keys.key(version)).decode('ascii')}\n"
        for version in keys.versions
    )


def _read_private(path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            _refuse_shared(path, status)
            data = file.read(MASTER_KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MasterKeyInvalid(
            f"the master key file {path} cannot be read: {error.strerror}; "
            f"point {FILE_VARIABLE} at it"
        ) from error
    if len(data) > MASTER_KEY_FILE_BYTES_MAX:
        raise MasterKeyInvalid(
            f"{path} has more than {MASTER_KEY_FILE_BYTES_MAX} bytes: that is no master key file"
        )
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise MasterKeyInvalid(
            f"{path} is not plain ASCII text: that is no master key file"
        ) from None


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise MasterKeyInvalid(f"{path} is not a regular file")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise MasterKeyInvalid(
            f"{path} has mode {mode:04o}, so others than its owner reach the master keys: "
            f"run chmod 600 {path}"
        )


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
