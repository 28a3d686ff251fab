"""Where a command finds the installation it is about: this process's environment, or the data
folder of a `tillgate dev`.

`tillgate dev` keeps two files in its folder, both 0600: `dev.json` (addresses and keys of the demo
shop, for clients) and `environment.json` (the TILLGATE_ variables of its service, for commands that
administer).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.cli.failures import CommandError
from gateway.embedded.data_folder import FOLDER_NAME, RECORD_NAME
from gateway.settings import DATABASE_URL, PREFIX

DEV_JSON: Final = "dev.json"
ENVIRONMENT_JSON: Final = "environment.json"
LOGIN_UID: Final = Path("/proc/self/loginuid")  # set once, at login, by the system's audit
NO_LOGIN: Final = 2**32 - 1  # a service, or a container


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`, for commands that may be about a `tillgate dev`."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data folder of `tillgate dev` (default: the one used from here)",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`, for commands that show something."""
    parser.add_argument("--json", action="store_true", help="for programs: JSON on standard output")


def data_folder(asked_for: Path | None) -> Path | None:
    """The folder asked for, `.tillgate/` here, or the temporary one that was used from here; None
    when there is none.
    """
    if asked_for is not None:
        if not asked_for.is_dir():
            raise CommandError(
                f"there is no folder {asked_for}: `tillgate dev --data {asked_for}` makes it"
            )
        return asked_for.resolve()
    here = Path.cwd()
    if (here / FOLDER_NAME).is_dir():
        return (here / FOLDER_NAME).resolve()
    record = here / RECORD_NAME
    if record.is_file() and (kept := Path(record.read_text().strip())).is_dir():
        return kept
    return None


def environment(asked_for: Path | None) -> Mapping[str, str]:
    """The variables to read settings from: ours when a database is set (and no folder was asked
    for), else those of the folder.
    """
    if asked_for is None and os.environ.get(DATABASE_URL):
        return os.environ
    folder = data_folder(asked_for)
    if folder is None or not (folder / ENVIRONMENT_JSON).is_file():
        return os.environ
    return without_settings(os.environ) | read_private(folder / ENVIRONMENT_JSON)


def without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """An environment without any TILLGATE_ variable."""
    return {name: value for name, value in variables.items() if not name.startswith(PREFIX)}


def read_private(path: Path) -> dict[str, Any]:
    """One of the two files. Raises CommandError."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{path} cannot be read ({error}): start `tillgate dev` again, it writes the file anew"
        ) from error
    return content


def write_private(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file, whole or not at all, readable by its owner only."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    draft.replace(path)


def person() -> str:
    """The login of the person who runs this, as the system knows it: a variable says anything.

    The login stays through `su` and `sudo` where the system keeps it. A container's user may have
    no name.
    """
    uid = _login_uid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login_uid() -> int:
    with contextlib.suppress(OSError, ValueError):  # no Linux, or no audit in its kernel
        uid = int(LOGIN_UID.read_text())
        if uid != NO_LOGIN:
            return uid
    return os.getuid()
