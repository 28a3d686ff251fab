"""The administering commands as a person types them, against a real database."""

import asyncio
import contextlib
import io
import json
import os
import sys
from pathlib import Path

import asyncpg
import pytest

from adapters.channel import Means
from adapters.discovery import discover
from adapters.transport import InlineExecutor
from gateway.__main__ import main
from gateway.cli.surroundings import without_settings
from gateway.clock import SystemClock
from gateway.storage.built_accounts import BuiltAccounts
from gateway.storage.directory import SnapshotDirectory
from security.keyring import MasterKeys
from security.vault import Vault
from tests.servers import as_owner

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs commands on one installation: each in this process, since starting a new one costs a
    second of CPU; `process` starts one.
    """

    def __init__(self, database: str, keys: Path) -> None:
        settings = {"TILLGATE_DATABASE_URL": database, "TILLGATE_MASTER_KEY_FILE": str(keys)}
        self.environment = without_settings(os.environ) | settings

    @classmethod
    def with_keys(cls, database: str, keys: Path) -> "Shell":
        """With a master key of its own."""
        MasterKeys.generate(keys)
        return cls(database, keys)

    async def run(self, words: str, *, stdin: bytes = b"") -> tuple[int, str, str]:
        """(exit code, what it printed, what it complained of)."""
        return await asyncio.to_thread(self._called, words.split(), stdin)

    def _called(self, words: list[str], stdin: bytes) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        before, keyboard = dict(os.environ), sys.stdin
        os.environ.clear()
        os.environ.update(self.environment)
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(words)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        finally:
            sys.stdin = keyboard
            os.environ.clear()
            os.environ.update(before)
        return code, out.getvalue(), err.getvalue()

    async def process(self, words: str, *, stdin: bytes = b"") -> tuple[int, str, str]:
        """As `run`, as a person's shell does it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *words.split(),
            cwd=ROOT,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def good(self, words: str) -> str:
        code, out, err = await self.run(words)
        assert code == 0, err
        return out.strip()


@pytest.fixture
def shell(database: str, tmp_path: Path) -> Shell:
    return Shell.with_keys(database, tmp_path / "keys")


async def test_a_command_is_a_process_of_its_own(shell: Shell) -> None:
    assert (await shell.process("merchant create Noodles --id mer_own"))[:2] == (0, "mer_own\n")
    code, out, err = await shell.process("store create mer_nobody East")
    assert (code, out) == (2, "")
    assert "there is no merchant mer_nobody: `tillgate merchant list` shows what there is" in err


async def test_what_does_not_exist_is_told_in_words(shell: Shell) -> None:
    await shell.good("merchant create Noodles --id mer_w")
    code, _, err = await shell.run("terminal create mer_w sto_none Till1")
    assert (code, "there is no store sto_none: `tillgate store list`" in err) == (2, True)
    assert "Key (" not in err


async def test_a_shop_is_renamed_disabled_and_enabled(shell: Shell) -> None:
    await shell.good("merchant create Noodles --id mer_r")
    await shell.good("store create mer_r East --id sto_r")
    await shell.good("terminal create mer_r sto_r Till1 --id term_r")
    for kind, words in [
        ("merchant", "mer_r"),
        ("store", "mer_r sto_r"),
        ("terminal", "mer_r term_r"),
    ]:
        name = words.split()[-1]
        assert await shell.good(f"{kind} rename {words} New") == f"{name} is now called New"
        assert "refused within seconds" in await shell.good(f"{kind} disable {words}")
        assert await shell.good(f"{kind} disable {words}") == f"{name} was disabled already"
        owner = words.split()[0] if kind != "merchant" else ""
        (listed,) = json.loads(await shell.good(f"{kind} list {owner} --json"))
        assert (listed["name"], listed["disabled"] is None) == ("New", False)
        assert await shell.good(f"{kind} enable {words}") == f"{name} is enabled"
        assert await shell.good(f"{kind} enable {words}") == f"{name} was not disabled"
    code, _, err = await shell.run("store rename mer_r sto_none New")
    assert (code, "no store sto_none of merchant mer_r: `tillgate store list`" in err) == (2, True)


async def test_before_migrate_there_is_one_sentence(shell: Shell, empty_database: str) -> None:
    shell.environment["TILLGATE_DATABASE_URL"] = empty_database
    for words in ("merchant create Noodles", "account list", "serve", "work"):
        code, _, err = await shell.process(words)
        assert (code, "Traceback" in err) == (2, False), err
        assert "run `tillgate migrate`" in err


async def test_a_shop_is_set_up_by_hand(shell: Shell) -> None:
    merchant = await shell.good("merchant create Noodles")
    await shell.good(f"store create {merchant} East --id sto_east")
    await shell.good(f"terminal create {merchant} sto_east Till1 --id term_1")
    issued = await shell.good(f"key issue {merchant} --terminal term_1 --test")
    key_id, secret = (line.split()[1] for line in issued.splitlines())
    assert secret.startswith("sk_test_")
    rotated = await shell.good(f"key rotate {key_id} --test")
    assert rotated.split()[1].startswith("tk_")
    code, _, err = await shell.run(f"key rotate {key_id} --test")
    assert (code, "revoke the one no longer in use" in err) == (2, True)
    await shell.good(f"key revoke {key_id}")
    listed = await shell.good(f"key list {merchant}")
    assert secret not in listed
    assert len(listed.splitlines()) == 3
    account = await shell.good(f"account create {merchant} cash")
    await shell.good(f"account disable {account}")
    assert json.loads(await shell.good(f"account show {account}"))["enabled"] is False
    code, _, err = await shell.run(
        f"account create {merchant} alipay --credentials -", stdin=b'{"app_id": "x"}'
    )
    assert (code, "missing: seller_id" in err) == (2, True)
    assert await shell.good("case list") == "no open cases"


async def test_rekey_follows_a_rotation(shell: Shell, tmp_path: Path) -> None:
    merchant = await shell.good("merchant create Noodles")
    await shell.good(f"key issue {merchant} --role finance")
    await shell.good(f"master-key rotate {tmp_path / 'keys'}")
    assert (await shell.good("rekey")).startswith("1 secrets sealed")
    assert (await shell.good("rekey")).startswith("0 secrets sealed")


async def test_nothing_is_sealed_that_a_living_worker_could_not_open(
    shell: Shell, database: str, tmp_path: Path
) -> None:
    """After a rotation, with a worker that has not read the new key yet: keys, accounts and webhook
    secrets go on to be sealed under the old one, and `rekey` waits.
    """
    merchant = await shell.good("merchant create Noodles")
    old = Vault(MasterKeys.from_file(tmp_path / "keys"))
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO worker (id, beat_at, knows) VALUES ('w1', now() + interval '1 hour', $1)",
        sorted(old.knows),
    )
    await shell.good(f"master-key rotate {tmp_path / 'keys'}")
    new = Vault(MasterKeys.from_file(tmp_path / "keys"))
    issued = await shell.good(f"key issue {merchant} --role finance --test")
    await shell.good(f"account create {merchant} cash --id acct_cash")
    await shell.good(f"webhook create {merchant} https://shop.example/hook")
    snapshot = _directory(database, old)
    await snapshot.refresh()
    assert snapshot.problems == {}
    assert snapshot.key(issued.split()[1]) is not None
    sealed = [
        row["sealed"]
        for table in ("api_key", "channel_account", "webhook_secret")
        for row in await connection.fetch(f"SELECT sealed FROM {table}")
    ]
    assert [(each[0], each[2]) for each in sealed] == [(2, 1)] * 3
    code, _, err = await shell.run("rekey")
    assert (code, "w1" in err, "lacks master_key/2/" in err) == (2, True, True)
    await connection.execute("UPDATE worker SET knows = NULL")
    code, _, err = await shell.run("rekey")
    assert (code, "is of an earlier release" in err) == (2, True)
    await connection.execute("UPDATE worker SET knows = $1", sorted(new.knows))
    assert (await shell.good("rekey")).startswith("3 secrets sealed")
    assert (await shell.good("rekey")).startswith("0 secrets sealed")
    await snapshot.refresh()
    assert {text.split(":")[0] for text in snapshot.problems.values()} == {"KeyVersionUnknown"}
    await snapshot.close()
    await connection.close()


def _directory(dsn: str, vault: Vault) -> SnapshotDirectory:
    clock = SystemClock()
    means = Means(clock=clock, signing_executor=InlineExecutor())
    accounts = BuiltAccounts(vault=vault, means=means, manifests=discover())
    return SnapshotDirectory(dsn, vault=vault, clock=clock, accounts=accounts)


async def test_one_broken_secret_is_named_and_holds_nothing_up(
    shell: Shell, database: str, tmp_path: Path
) -> None:
    merchant = await shell.good("merchant create Noodles")
    for name in ("good", "cut"):
        await shell.good(f"account create {merchant} cash --id acct_{name}")
    await as_owner(database, "UPDATE channel_account SET sealed = '\\x01' WHERE id = 'acct_cut'")
    assert "was cut or never sealed" in await shell.good("account list")
    shown = json.loads(await shell.good("account show acct_cut"))
    assert (shown["master_key"], "cut" in shown["problem"]) == (None, True)
    code, out, _ = await shell.run("doctor")
    assert (code, "acct_cut" in out) == (1, True)
    await shell.good(f"master-key rotate {tmp_path / 'keys'}")
    code, out, err = await shell.run("rekey")
    assert (code, out.startswith("1 secrets sealed"), "channel_account/acct_cut" in err) == (
        2,
        True,
        True,
    )
    await shell.run("account rotate acct_cut --credentials -", stdin=b"{}")
    assert (await shell.good("rekey")).startswith("0 secrets sealed")


async def test_the_doctor_names_what_is_wrong_and_what_to_do(
    shell: Shell, empty_database: str
) -> None:
    code, out, _ = await shell.run("doctor")
    assert (code, "no channel account can take payments" in out, "fsync=off" in out) == (
        1,
        True,
        True,
    )
    shell.environment["TILLGATE_DATABASE_URL"] = empty_database
    code, out, _ = await shell.run("doctor")
    assert (code, "run `tillgate migrate`" in out) == (1, True)
    shell.environment["TILLGATE_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    code, out, _ = await shell.run("doctor")
    assert (code, "cannot connect to PostgreSQL" in out) == (1, True)
    shell.environment["TILLGATE_DATABAS_URL"] = "x"
    code, out, _ = await shell.run("doctor")
    assert (code, "did you mean TILLGATE_DATABASE_URL" in out) == (1, True)


async def test_webhook_endpoints_by_hand(shell: Shell, database: str) -> None:
    merchant = await shell.good("merchant create Noodles")
    issued = await shell.good(
        f"webhook create {merchant} https://shop.example/hook "
        f"--type payment.succeeded --type refund.failed"
    )
    endpoint, secret = (line.split()[1] for line in issued.splitlines())
    assert secret.startswith("whsec_")
    rotated = (await shell.good(f"webhook rotate {endpoint}")).splitlines()[1].split()[1]
    assert rotated != secret
    listed = await shell.good("webhook list")
    assert "payment.succeeded, refund.failed" in listed
    assert secret not in listed
    code, _, err = await shell.run(f"webhook create {merchant} https://192.168.0.1/hook")
    assert (code, "not a public address" in err) == (2, True)
    code, _, err = await shell.run("webhook disable whe_nobody")
    assert (code, "webhook list" in err) == (2, True)
    await shell.good(f"webhook disable {endpoint}")
    assert "disabled by a person" in await shell.good(f"webhook list {merchant}")
    (shown,) = json.loads(await shell.good(f"webhook list {merchant} --json"))
    assert (shown["id"], shown["state"]) == (endpoint, "disabled by a person")
    assert shown["created"].endswith("+00:00")
    code, _, err = await shell.run(f"webhook resend {endpoint} --dead-since 2026-11-21")
    assert (code, "enable it first" in err) == (2, True)
    await shell.good(f"webhook enable {endpoint}")
    assert await shell.good(f"webhook resend {endpoint} --dead-since 2026-11-21") == "0 due now"
    assert (
        await shell.good(f"webhook deliveries {endpoint} --state dead")
        == "nothing was sent to this endpoint yet"
    )
    assert "were already" in await shell.good("rekey")
