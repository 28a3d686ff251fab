"""Who may start and who must stop a server that several processes share.

Two advisory file locks, both freed by the kernel when a process dies, so no stale pid is ever
believed:

- `.starting` is held for the moments of a start (the second starter waits and then attaches);
- `.owner` is held by the process that started the server, for as long as it lives.

Whoever attaches after the owner was killed takes the free lock over, and so a server is never
without somebody who stops it.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gateway.embedded.errors import EmbeddedServerError


class Ownership:
    """The right to stop one server; `folder` is the server's root folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner_file: IO[str] | None = None
        self._owner_pid = 0

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Only one process at a time decides whether a server runs and starts it."""
        with self._opened(".starting") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def claim(self) -> bool:
        """Become the owner; False when another living process is."""
        if self.held:
            return True
        file = self._opened(".owner")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._owner_file, self._owner_pid = file, os.getpid()
        return True

    @property
    def held(self) -> bool:
        """True in the owner itself; False in its forked children."""
        return self._owner_file is not None and self._owner_pid == os.getpid()

    def release(self) -> None:
        """Give the right up; harmless when not held."""
        if self._owner_file is not None:
            self._owner_file.close()
            self._owner_file = None

    def _opened(self, name: str) -> IO[str]:
        try:
            return (self._folder / name).open("a")
        except PermissionError as error:
            raise EmbeddedServerError(
                f"{self._folder} belongs to another user: "
                f"run as that user, use another data folder, or remove it with `make clean`"
            ) from error
