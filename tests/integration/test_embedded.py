"""The embedded servers: start, attach, crash, stop, several at once,
as root and as an ordinary user.
"""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from gateway.embedded import binaries
from gateway.embedded.data_folder import (
    RECORD_NAME,
    DataFolderError,
    choose_data_folder,
    unsuitable,
)
from gateway.embedded.errors import EmbeddedServerError, ServerMissingError
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
from tests.servers import temporary_root

needs_root = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="only root can become an ordinary user; the other tests run as one already",
)

# A process of its own that starts (or attaches to) a server, says so, and stops it when its input
# ends.
STARTER = """
import json, os, sys, pathlib
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.redis import EmbeddedRedis
kind, root, uid = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
if uid:
    import pwd
    os.setgroups([]); os.setgid(pwd.getpwuid(uid).pw_gid); os.setuid(uid)
embedded = EmbeddedPostgres if kind == "postgres" else EmbeddedRedis
server = embedded(root, durable=False)
address = server.start()
print(json.dumps({"address": address, "owner": server.is_owner}), flush=True)
sys.stdin.read()
server.stop()
"""

# A process of the user `uid` that asks to be let in.
GUEST = """
import asyncio, os, sys, asyncpg
dsn, uid = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setuid(uid)
asyncio.run(asyncpg.connect(dsn))
"""

SESSION = """
import time
from tests.servers import postgres_server, redis_server
with redis_server(), postgres_server():
    print("running", flush=True)
    time.sleep(600)
"""


class Starter:
    """One such process."""

    def __init__(self, kind: str, root: Path, uid: int = 0, stderr: int | None = None) -> None:
        command = [sys.executable, "-c", STARTER, kind, str(root), str(uid)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        )

    def said(self) -> dict[str, object]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the starter failed; its error is above"
        return dict(json.loads(line))

    def stop(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def root() -> Iterator[Path]:
    with temporary_root() as folder:
        yield folder / "server"
        left = _processes_of(folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == [], "servers were left behind"


def _processes_of(folder: Path) -> list[int]:
    """Server processes that name the folder in their command line (zombies have none)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if (
            os.fsencode(folder) in command
            and b"server" in command
            and not command.startswith(os.fsencode(sys.executable))
        ):
            found.append(int(process.name))
    return found


def _postmaster(root: Path) -> int:
    return int((root / "data/postmaster.pid").read_text().split("\n", 1)[0])


async def _ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_postgres_starts_durable_keeps_data_and_leaves_nothing(root: Path) -> None:
    with EmbeddedPostgres(root) as server:
        assert server.is_owner
        assert [
            await _ask(server.dsn, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        ] == ["on"] * 3
        assert await _ask(server.dsn, "SHOW server_version_num") >= "140000"  # type: ignore[operator]
        await _ask(server.dsn, "CREATE TABLE kept (x int)")
        pid = _postmaster(root)
    assert not Path(f"/proc/{pid}").exists()
    with EmbeddedPostgres(root) as server:
        assert await _ask(server.dsn, "SELECT count(*) FROM kept") == 0


async def test_postgres_recovers_after_kill_9(root: Path) -> None:
    server = EmbeddedPostgres(root)
    server.start()
    await _ask(server.dsn, "CREATE TABLE kept AS SELECT 42 AS x")
    # Its backend holds the shared memory for a moment longer.
    busy = await asyncpg.connect(server.dsn)
    for _ in range(2):
        os.kill(_postmaster(root), signal.SIGKILL)
        server.start()
        assert await _ask(server.dsn, "SELECT x FROM kept") == 42
    busy.terminate()
    os.kill(_postmaster(root), signal.SIGKILL)
    server.stop()
    with EmbeddedPostgres(root) as other:
        assert await _ask(other.dsn, "SELECT x FROM kept") == 42


async def test_an_interrupted_initdb_is_not_taken_for_a_cluster(root: Path) -> None:
    half = root / "data.half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    root.chmod(0o755)
    with EmbeddedPostgres(root, durable=False) as server:
        assert await _ask(server.dsn, "SELECT 1") == 1


def test_postgres_that_cannot_start_says_why(root: Path) -> None:
    with EmbeddedPostgres(root, durable=False):
        pass
    (root / "data/PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedServerError, match=r"log ends with:\n(?s:.*)9\.6"):
        EmbeddedPostgres(root).start()


def test_a_durable_start_refuses_a_server_without_fsync(root: Path) -> None:
    with (
        EmbeddedPostgres(root, durable=False),
        pytest.raises(EmbeddedServerError, match="without fsync"),
    ):
        EmbeddedPostgres(root).start()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
@pytest.mark.parametrize("uid", [0, pytest.param(pwd.getpwnam("nobody").pw_uid, marks=needs_root)])
def test_three_starters_at_once_one_starts_two_attach(root: Path, kind: str, uid: int) -> None:
    root.mkdir()
    os.chown(root, uid, -1) if uid else None
    starters = [Starter(kind, root, uid) for _ in range(3)]
    said = [starter.said() for starter in starters]
    assert sorted(answer["owner"] for answer in said) == [False, False, True]  # type: ignore[type-var]
    assert len({answer["address"] for answer in said}) == 1
    for starter, answer in zip(starters, said, strict=True):
        if not answer["owner"]:
            starter.stop()
    assert _processes_of(root), "the attached ones must not stop it"
    next(starter for starter, answer in zip(starters, said, strict=True) if answer["owner"]).stop()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_server_whose_owner_was_killed_is_adopted_and_then_stopped(root: Path, kind: str) -> None:
    first = Starter(kind, root)
    assert first.said()["owner"] is True
    first.kill()
    assert _processes_of(root), "the orphan lives"
    second = Starter(kind, root)
    assert second.said()["owner"] is True
    second.stop()


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedRedis])
def test_an_interrupted_start_leaves_no_server(
    root: Path, kind: type[EmbeddedPostgres | EmbeddedRedis], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "_wait_until_ready", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kind(root, durable=False).start()
    assert _processes_of(root) == []


def test_ctrl_c_reaches_the_starter_and_not_the_server(root: Path) -> None:
    starter = Starter("postgres", root)
    starter.said()
    pid = _postmaster(root)
    assert os.getsid(pid) != os.getsid(starter.process.pid)
    starter.stop()
    assert not Path(f"/proc/{pid}").exists()


@needs_root
async def test_as_root_it_runs_as_nobody_from_a_wheel_in_a_private_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = root.parent / "private"
    for module, _ in binaries.POSTGRES_WHEELS:
        package = binaries._package_folder(module)
        if package:
            break
    assert package
    private.mkdir(mode=0o700)
    (private / package.name).symlink_to(package)
    if (libraries := package.parent / f"{package.name}.libs").is_dir():
        (private / libraries.name).symlink_to(libraries)
    monkeypatch.setattr(binaries, "_package_folder", lambda module: private / module)
    with EmbeddedPostgres(root, durable=False) as server:
        assert await _ask(server.dsn, "SELECT 1") == 1
        assert (root / "programs" / package.name).is_dir()
        assert Path(f"/proc/{_postmaster(root)}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        status = Path(f"/proc/{_postmaster(root)}/status").read_text()
        assert f"Gid:\t{pwd.getpwnam('nobody').pw_gid}\t" in status
    assert private.stat().st_mode & 0o777 == 0o700, "a private folder stays private"


def test_a_server_is_not_handed_our_secrets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen at PostgreSQL only: Redis writes its title over what it was handed."""
    monkeypatch.setenv("TILLGATE_MASTER_KEY", "kept-to-ourselves")
    assert "TILLGATE_MASTER_KEY" not in binaries.server_environment()
    with EmbeddedPostgres(root, durable=False):
        handed = Path(f"/proc/{_postmaster(root)}/environ").read_bytes()
    assert b"PATH=" in handed
    assert b"TILLGATE_" not in handed


@needs_root
def test_no_other_user_of_the_machine_comes_into_the_database(root: Path) -> None:
    """Not even one who can reach the socket: the servers' own user."""
    with EmbeddedPostgres(root, durable=False) as server:
        guests = [
            subprocess.run(
                [sys.executable, "-c", GUEST, server.dsn, str(uid)],
                check=False,
                capture_output=True,
                text=True,
            )
            for uid in (pwd.getpwnam("nobody").pw_uid, os.getuid())
        ]
    assert "Peer authentication failed" in guests[0].stderr
    assert guests[1].returncode == 0, guests[1].stderr


def test_redis_starts_keeps_data_and_leaves_nothing(root: Path) -> None:
    for expected in (None, b"1"):
        with EmbeddedRedis(root) as server, redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == expected
            client.set("kept", "1")
            client.execute_command("WAITAOF", 0, 0, 0) if client.info()[
                "redis_version"
            ] >= "7.2" else None
    assert _processes_of(root) == []


def test_redis_that_cannot_start_says_why(root: Path) -> None:
    root.mkdir()
    (root / "appendonly.aof").write_bytes(b"not an append-only file")
    (root / "appendonlydir").write_bytes(b"nor a folder")
    with pytest.raises(EmbeddedServerError, match="log ends with"):
        EmbeddedRedis(root).start()


def test_a_missing_program_says_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda module: None)
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(ServerMissingError, match="redis-server or valkey-server"):
        EmbeddedRedis(root).start()
    with pytest.raises(ServerMissingError, match="make setup"):
        EmbeddedPostgres(root).start()


def test_too_long_a_path_is_refused_in_words(root: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="too long"):
        EmbeddedPostgres(root / ("x" * 90)).start()


def test_the_data_folder_is_here_when_it_fits(root: Path) -> None:
    root.mkdir()
    chosen = choose_data_folder(root)
    assert chosen == (root.resolve() / ".tillgate", "")
    assert chosen.path.is_dir()


def test_the_data_folder_is_temporary_and_remembered_when_the_path_is_long(root: Path) -> None:
    deep = root / ("d" * 80)
    deep.mkdir(parents=True)
    first = choose_data_folder(deep)
    try:
        assert "more than 100" in first.why_not_here
        assert unsuitable(first.path) == ""
        assert (deep / RECORD_NAME).read_text() == f"{first.path}\n"
        assert choose_data_folder(deep).path == first.path
    finally:
        first.path.rmdir()


def test_a_folder_asked_for_is_used_or_refused_never_replaced(root: Path) -> None:
    assert choose_data_folder(root, root / "asked").path == root.resolve() / "asked"
    (root / "file").touch()
    with pytest.raises(DataFolderError, match=r"--data .* cannot be made .* name another folder"):
        choose_data_folder(root, root / "file" / "below")
    with pytest.raises(DataFolderError, match=r"--data .* comma"):
        choose_data_folder(root, root / "a,b")


@needs_root
def test_a_folder_of_another_user_is_refused_in_words(root: Path) -> None:
    with EmbeddedRedis(root, durable=False):
        starter = Starter("redis", root, pwd.getpwnam("nobody").pw_uid, stderr=subprocess.PIPE)
        _, said = starter.process.communicate()
        assert "belongs to another user" in said


@needs_root
def test_a_working_folder_the_servers_user_cannot_enter_gives_a_temporary_one(root: Path) -> None:
    root.mkdir(mode=0o700)
    chosen = choose_data_folder(root)
    assert "cannot enter" in chosen.why_not_here
    chosen.path.rmdir()


def test_the_session_servers_end_when_their_process_is_killed(root: Path) -> None:
    root.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(root)},
    )
    assert process.stdout
    assert process.stdout.readline()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while list(root.glob("tg-*")):
        assert time.monotonic() < deadline, "the guards did not clean up"
        time.sleep(0.05)
