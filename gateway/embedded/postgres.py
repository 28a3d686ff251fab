"""A real PostgreSQL from a wheel: durable by default,
reached through a unix socket inside its own 0700 folder.

Several processes may call `start()` on the same folder: one starts the server, the others attach to
it. Only the owner's `stop()` stops it (see ownership.py). A server left by a killed owner is
adopted by the next starter; after a kill of the postmaster itself the next start recovers, as
PostgreSQL always does.
"""

import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from gateway.embedded.binaries import (
    identity,
    postgres_programs,
    server_environment,
    server_user,
)
from gateway.embedded.errors import EmbeddedServerError
from gateway.embedded.ownership import Ownership
from gateway.embedded.tail import tail
from gateway.limits import (
    EMBEDDED_ABANDON_S,
    EMBEDDED_POLL_MS,
    EMBEDDED_POSTGRES_START_S,
    EMBEDDED_POSTGRES_STOP_S,
    EMBEDDED_PROBE_S,
    EMBEDDED_RELAUNCH_POLL_MS,
    EMBEDDED_RELAUNCH_S,
)

log = logging.getLogger("tillgate.embedded.postgres")

USER = "gateway"
USERS = (USER, "tillgate_owner", "tillgate_app")  # all of them us: see storage/schema/roles.py
PORT = 5432  # only part of the socket's file name: nothing listens on TCP
# What the log says while the one before is still ending.
HELD_FOR_A_MOMENT = ("shared memory block", "lock file")
# SSLRequest of the PostgreSQL protocol.
TLS_QUESTION = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


class EmbeddedPostgres:
    """One PostgreSQL cluster in `root/data`, its log in `root/postgres.log`.

    `durable=False` turns fsync and autovacuum off: tests only. `run_as` is the system user when we
    are root.
    """

    def __init__(self, root: Path, *, durable: bool = True, run_as: str = "nobody") -> None:
        self.root = root.resolve()
        self.data = self.root / "data"
        self.durable = durable
        self._run_as = server_user(run_as)
        self._process: subprocess.Popen[bytes] | None = None
        self._ownership = Ownership(self.root)

    @property
    def dsn(self) -> str:
        """Connection address of the database `postgres`, for asyncpg and libpq."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str, user: str = USER) -> str:
        """Connection address of another database of this server, as its superuser or as `user`."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.data))}&port={PORT}"

    @property
    def is_owner(self) -> bool:
        """True when this process started (or adopted) the server and therefore stops it."""
        return self._ownership.held

    @property
    def is_running(self) -> bool:
        """True when a server answers in this folder, whoever started it."""
        return self._state() is not None

    def start(self, wait_s: float = EMBEDDED_POSTGRES_START_S) -> str:
        """Start the server, or attach to the one that runs; returns `dsn`.

        Blocks until it accepts connections.
        """
        self._make_root()
        with self._ownership.starting():
            if self._process is not None:
                # A dead child nobody waited for looks alive to the next postmaster.
                self._process.poll()
            if self._state() is None:
                self._initialise()
                self._admit_only_us()
                self._launch()
            try:
                self._wait_until_ready(wait_s)
            except BaseException:
                self._abandon()  # Ctrl-C during a start must not leave a server without an owner
                raise
            self._refuse_lost_durability()
            self._ownership.claim()
        return self.dsn

    def stop(self, wait_s: float = EMBEDDED_POSTGRES_STOP_S) -> None:
        """Stop the server if this process owns it: open transactions are rolled back, committed
        ones are safe.
        """
        if not self._ownership.held:
            return
        with self._ownership.starting():
            pid = self._pid()
            if pid is not None and self._state() is not None:
                os.kill(pid, signal.SIGINT)  # "fast shutdown"
                if not self._gone_within(wait_s):
                    log.warning(
                        "PostgreSQL did not stop within %.0f s; "
                        "it is stopped at once and recovers at the next start",
                        wait_s,
                    )
                    os.kill(pid, signal.SIGQUIT)
                    self._gone_within(wait_s)
            if self._process is not None:
                self._process.wait(wait_s)
            self._process = None
            self._ownership.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return (
            f"EmbeddedPostgres({self.root}, state={self._state() or 'stopped'}, "
            f"owner={self.is_owner})"
        )

    # -- starting ----------------------------------------------------------------------------------

    def _make_root(self) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            if self._run_as:
                self.root.chmod(0o711)  # the servers' user must get through to data/, which is 0700

    def _programs(self) -> Path:
        return postgres_programs(self._run_as, self.root / "programs")

    def _initialise(self) -> None:
        """Make the cluster beside its place and rename it, so that an interrupted initdb is never
        taken for a cluster.
        """
        if self.data.exists():
            return
        half = self.root / "data.half"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        if self._run_as:
            shutil.chown(half, self._run_as)
        arguments = [
            "-D",
            str(half),
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth-local=peer",
            "--auth-host=reject",
            "--no-instructions",
        ]
        if not self.durable:
            arguments.append("--no-sync")
        command = [str(self._programs() / "initdb"), *arguments]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            start_new_session=True,  # Ctrl-C lets it finish, and ends its owner after it
            cwd="/",
            env=server_environment(),
            **identity(self._run_as),
        )
        if done.returncode != 0:
            raise EmbeddedServerError(
                f"initdb failed in {self.root}: {done.stderr.strip() or done.stdout.strip()}"
            )
        half.rename(self.data)

    def _admit_only_us(self) -> None:
        """The system's user who starts the server is its superuser and both roles, by the kernel's
        word about the socket's other end; no other user of the machine comes in through the socket.

        Written before every launch: a folder of an older release is closed, too. The files are made
        outside data/ and moved in, because its owner could have put links there.
        """
        us = pwd.getpwuid(os.geteuid()).pw_name
        for name, line in (
            ("pg_hba.conf", f"local all {','.join(USERS)} peer map=owner\n"),
            ("pg_ident.conf", "".join(f'owner "{us}" {user}\n' for user in USERS)),
        ):
            new = self.root / name
            new.write_text(line)
            new.chmod(0o600)
            if self._run_as:
                shutil.chown(new, self._run_as)
            new.replace(self.data / name)

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": f'"{self.data}"',
            "max_connections": "200",
            "shared_buffers": "256MB" if self.durable else "128MB",
            "timezone": "UTC",
        }
        # Without autovacuum: what a test asserts of a plan does not change while it runs.
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            settings[name] = "on" if self.durable else "off"
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.root / "postgres.log").open("ab") as log_file:
            self._process = subprocess.Popen(
                [self._programs() / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C reaches its owner, who stops it last
                cwd="/",
                env=server_environment(),
                **identity(self._run_as),
            )

    def _wait_until_ready(self, wait_s: float) -> None:
        started = time.monotonic()
        while (state := self._state()) != "ready":
            waited_s = time.monotonic() - started
            if state is None and (self._process is None or self._process.poll() is not None):
                self._relaunch_or_raise(waited_s)
            elif waited_s > wait_s:
                raise EmbeddedServerError(
                    f"PostgreSQL in {self.root} is still {state or 'starting'}; "
                    f"see {self.root / 'postgres.log'}"
                )
            time.sleep(EMBEDDED_POLL_MS / 1000)

    def _relaunch_or_raise(self, waited_s: float) -> None:
        """The one that was stopping when we came has gone, or the children of a killed one still
        hold its memory: both pass.
        """
        last_lines = tail(self.root / "postgres.log")
        passing = self._process is None or any(words in last_lines for words in HELD_FOR_A_MOMENT)
        if not passing or waited_s > EMBEDDED_RELAUNCH_S:
            raise EmbeddedServerError(
                f"PostgreSQL did not start in {self.root}; its log ends with:\n{last_lines}"
            )
        time.sleep(EMBEDDED_RELAUNCH_POLL_MS / 1000)
        self._launch()

    def _abandon(self) -> None:
        """End a server that is still starting.

        Asked again and again: a shell's background job may have left it deaf at first.
        """
        if self._process is None:
            return
        end = time.monotonic() + EMBEDDED_ABANDON_S
        while self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if time.monotonic() < end else signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EMBEDDED_RELAUNCH_POLL_MS / 1000)
        self._process = None

    def _refuse_lost_durability(self) -> None:
        started_with = (self.data / "postmaster.opts").read_text()
        if self.durable and "fsync=off" in started_with:
            raise EmbeddedServerError(
                f"the PostgreSQL running in {self.root} was started without fsync, for tests: "
                f"stop it first"
            )

    # -- looking -----------------------------------------------------------------------------------

    def _state(self) -> str | None:
        """`starting`, `ready` or `stopping` as the postmaster wrote it, None when nobody answers.

        The pid file alone proves nothing (its pid may be somebody else's by now): the server has to
        speak.
        """
        if not self._answers():
            return None
        lines = self._pid_file_lines()
        return lines[7].strip() if len(lines) > 7 else "starting"  # noqa: PLR2004  the eighth line of postmaster.pid is the state

    def _answers(self) -> bool:
        """True when the postmaster answers the question "TLS?"; a postmaster that was just killed
        still accepts, but is silent.
        """
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(EMBEDDED_PROBE_S)
            try:
                probe.connect(str(self.data / f".s.PGSQL.{PORT}"))
                probe.sendall(TLS_QUESTION)
                return probe.recv(1) != b""
            except TimeoutError:
                return True  # it lives, and is busy
            except PermissionError as error:
                raise EmbeddedServerError(
                    f"{self.data} belongs to another user: "
                    f"run as that user or use another data folder"
                ) from error
            except OSError as error:
                if "too long" in str(error):
                    raise EmbeddedServerError(
                        f"the path {self.data} is too long for a unix socket: "
                        f"use a shorter data folder"
                    ) from error
                return False

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _pid(self) -> int | None:
        lines = self._pid_file_lines()
        return int(lines[0]) if lines else None

    def _gone_within(self, wait_s: float) -> bool:
        """True once the postmaster removed its pid file, which is the last thing it does."""
        deadline = time.monotonic() + wait_s
        while (self.data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(EMBEDDED_POLL_MS / 1000)
        return True
