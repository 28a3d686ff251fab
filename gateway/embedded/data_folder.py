"""Where `tillgate dev` keeps its servers' files.

`.tillgate/` in the working folder, when the user who runs the servers can get there and the socket
paths stay short enough; else a fresh folder under the temporary directory, whose name is kept in
`.tillgate-where` so that the next run finds its data again and `make clean` finds what to remove.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from gateway.embedded.binaries import identity, server_user
from gateway.limits import (
    SOCKET_PATH_BYTES_MAX,
)

FOLDER_NAME = ".tillgate"
RECORD_NAME = ".tillgate-where"
TEMPORARY_PREFIX = "tillgate-"
LONGEST_SOCKET = "postgres/data/.s.PGSQL.5432.lock"


class DataFolder(NamedTuple):
    """The chosen folder, created; `why_not_here` is the reason when it
    is a temporary one, else empty.
    """

    path: Path
    why_not_here: str


class DataFolderError(ValueError):
    """The folder somebody asked for cannot hold the servers; the message says why."""


def choose_data_folder(working_folder: Path, asked_for: Path | None = None) -> DataFolder:
    """The folder asked for (or DataFolderError), else `.tillgate/` here, else a temporary one."""
    if asked_for is not None:
        reason = unsuitable(asked_for)
        if reason:
            raise DataFolderError(
                f"--data {asked_for} cannot be used: {reason}; name another folder"
            )
        try:
            return DataFolder(_made(asked_for.resolve()), "")
        except OSError as error:
            raise DataFolderError(
                f"--data {asked_for} cannot be made ({error.strerror}): name another folder"
            ) from error
    here = working_folder.resolve() / FOLDER_NAME
    reason = unsuitable(here)
    if not reason:
        return DataFolder(_made(here), "")
    record = working_folder / RECORD_NAME
    path = _recorded(record) or _new_temporary()
    record.write_text(f"{path}\n")
    return DataFolder(path, reason)


def unsuitable(folder: Path) -> str:
    """Why the servers cannot live in `folder` (which need not exist yet); empty when they can."""
    folder = folder.resolve()
    length = len(os.fsencode(folder / LONGEST_SOCKET))
    if length > SOCKET_PATH_BYTES_MAX:
        return f"its socket paths would have {length} bytes, more than {SOCKET_PATH_BYTES_MAX}"
    if "," in str(folder) or '"' in str(folder):
        return (
            "its path has a comma or a quotation mark, "
            "which separate host names in connection addresses"
        )
    parent = next(path for path in (folder, *folder.parents) if path.is_dir())
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"{parent} is not writable"
    user = server_user()
    if (
        user
        and subprocess.run(
            ["test", "-x", parent],  # noqa: S607
            check=False,
            cwd="/",
            **identity(user),
        ).returncode
        != 0
    ):
        return f"the user {user}, who runs PostgreSQL because root must not, cannot enter {parent}"
    return ""


def _made(folder: Path) -> Path:
    """The folder, created, and open to the servers' user when we are root; folders that existed are
    left as they are.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        path.chmod(0o711 if server_user() else 0o700)
    return folder


def _recorded(record: Path) -> Path | None:
    """The temporary folder of the last run, if it is still there and still ours."""
    if not record.is_file():
        return None
    path = Path(record.read_text().strip())
    if (
        path.name.startswith(TEMPORARY_PREFIX)
        and path.is_dir()
        and path.stat().st_uid == os.geteuid()
        and not unsuitable(path)
    ):
        return path
    return None


def _new_temporary() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  only as the parent of a folder made by mkdtemp
        if not unsuitable(Path(parent) / f"{TEMPORARY_PREFIX}12345678"):
            path = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent)).resolve()
            path.chmod(0o711 if server_user() else 0o700)
            return path
    raise DataFolderError(
        "neither the working folder nor the temporary directory can hold the servers; "
        "name a folder with --data"
    )
