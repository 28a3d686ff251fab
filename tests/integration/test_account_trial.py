"""Credentials are tried at the channel before they are stored; `doctor` tries what is stored."""

import json
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.test_command_line import Shell
from tests.sandbox_process import SandboxProcess

PRIVATE_KEY = {"alipay": "app_private_key", "wechat": "merchant_private_key"}
SAID = {"alipay": "app_private_key does not belong", "wechat": "merchant_private_key or"}


@pytest.fixture
def near(shell: Shell) -> Shell:
    """Whose channels are on this machine."""
    shell.environment["TILLGATE_ALLOW_LOOPBACK_CHANNELS"] = "yes"
    return shell


@pytest.fixture
def shell(database: str, tmp_path: Path) -> Shell:
    return Shell.with_keys(database, tmp_path / "keys")


def another_key() -> str:
    """Well formed, and of no account."""
    return (
        rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@pytest.mark.parametrize("channel", PRIVATE_KEY)
async def test_a_wrong_key_is_not_stored_and_doctor_finds_one_that_was(
    near: Shell, sandbox: SandboxProcess, channel: str, tmp_path: Path
):
    merchant = await near.good("merchant create Noodles")
    account = f"acct_trial_{channel}_{merchant[-6:]}"
    good = (await sandbox.enroll(channel, account, profile="short"))["credentials"]
    files = {"good": good, "wrong": {**good, PRIVATE_KEY[channel]: another_key()}}
    for name, credentials in files.items():
        (tmp_path / name).write_text(json.dumps(credentials))
    create = f"account create {merchant} {channel} --id {account} --credentials {tmp_path}"
    code, _, err = await near.run(f"{create}/wrong")
    assert (code, "tried and not stored" in err, SAID[channel] in err) == (2, True, True)
    assert account not in await near.good("account list")
    code, out, err = await near.run(f"{create}/good")
    assert (code, out.strip(), "believes its signature" in err) == (0, account, True)
    rotate = f"account rotate {account} --credentials {tmp_path}/wrong"
    code, _, err = await near.run(rotate)
    assert (code, "tried and not stored" in err) == (2, True)
    _, out, _ = await near.run("doctor")
    assert "the channel believes its signature" in line_of(out, account)
    await near.good(f"{rotate} --untried")
    code, out, _ = await near.run("doctor")
    assert (code, SAID[channel] in line_of(out, account)) == (1, True)


async def test_doctor_tells_of_a_breaker_and_of_a_host_that_is_not_there(
    near: Shell, sandbox: SandboxProcess, database: str, tmp_path: Path
):
    merchant = await near.good("merchant create Noodles")
    account = f"acct_trial_{merchant[-6:]}"
    good = (await sandbox.enroll("alipay", account, profile="short"))["credentials"]
    (tmp_path / "good").write_text(json.dumps(good))
    create = f"account create {merchant} alipay --id {account} --credentials {tmp_path}/good"
    await near.good(create)
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO worker (id, beat_at) VALUES ('w1', now() + interval '1 hour')"
    )
    await connection.execute(
        """INSERT INTO channel_health_event
        (merchant_id, account, operation, what, was, "to", reason, worker, at)
        VALUES ($1, $2, 'pay', 'breaker', 'closed', 'open', '5 calls in a row failed', 'w1', now())
        """,
        merchant,
        account,
    )
    await connection.close()
    _, out, _ = await near.run("doctor")
    assert "pay open (5 calls in a row failed)" in line_of(out, account)
    gone = {**good, "gateway_url": "http://127.0.0.1:9/gateway.do"}
    (tmp_path / "gone").write_text(json.dumps(gone))
    code, _, err = await near.run(f"account rotate {account} --credentials {tmp_path}/gone")
    assert (code, "cannot be reached" in err) == (2, True)


async def test_everything_that_is_missing_is_named_at_once(near: Shell):
    merchant = await near.good("merchant create Noodles")
    code, _, err = await near.run(
        f"account create {merchant} alipay --credentials -", stdin=b'{"app_id": "x", "zz": 1}'
    )
    assert code == 2
    assert "missing: seller_id, gateway_url, mode, app_private_key; not known here: zz" in err


async def test_a_broken_row_stops_no_tool(near: Shell, database: str):
    """A cut seal: the row is told as a problem, by every tool that should mend it."""
    merchant = await near.good("merchant create Noodles")
    whole = await near.good(f"account create {merchant} cash")
    cut = await near.good(f"account create {merchant} cash")
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE channel_account SET sealed = '\\x01' WHERE id = $1", cut)
    await connection.close()
    listed = await near.good("account list")
    assert "cut or never sealed" in line_of(listed, cut)
    assert "ready" in line_of(listed, whole)
    assert json.loads(await near.good(f"account show {cut}"))["master_key"] is None
    code, out, _ = await near.run("doctor")
    assert (code, "account show" in line_of(out, cut)) == (1, True)


async def test_a_foreign_master_key_is_one_line(near: Shell, tmp_path: Path):
    merchant = await near.good("merchant create Noodles")
    for _ in range(3):
        await near.good(f"account create {merchant} cash")
        await near.good(f"key issue {merchant} --role finance")
    await near.good(f"master-key create {tmp_path / 'other'}")
    near.environment["TILLGATE_MASTER_KEY_FILE"] = str(tmp_path / "other")
    code, out, _ = await near.run("doctor")
    wrong = [line for line in out.splitlines() if line.startswith("WRONG") and "fsync" not in line]
    assert code == 1
    assert len(wrong) == 1, out
    assert "6 keys and accounts do not open" in wrong[0]


def line_of(out: str, name: str) -> str:
    (found,) = [line for line in out.splitlines() if name in line]
    return found
