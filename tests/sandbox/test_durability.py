"""The ledger is the truth: it survives kill -9, and everything is rebuilt from it."""

import asyncio
import functools
import json
import os
import pathlib
import signal
import sys
from typing import Any

import pytest

from sandbox.ledger import LedgerError, read_ledger
from sandbox.service import Service
from tests.sandbox.conftest import MERCHANTS, until
from tests.sandbox_process import ROOT, SandboxProcess


async def test_the_ledger_survives_kill_9_of_the_channel_process(
    data_dir: pathlib.Path, session: Any, codes: Any
) -> None:
    sandbox = SandboxProcess()
    await sandbox.start(data_dir)
    try:
        credentials = {
            name: (await sandbox.enroll(name, "shop", profile="short"))["credentials"]
            for name in MERCHANTS
        }
        merchants = [MERCHANTS[name](session, credentials[name]) for name in MERCHANTS]
        used = {merchant: codes(merchant.code_prefix) for merchant in merchants}
        for merchant in merchants:
            await merchant.pay("PAID00001", used[merchant])
            await merchant.pay("TYPES0001", codes(merchant.code_prefix, "03"))
            await merchant.refund("PAID00001", f"r-{merchant.channel}", 30)
        storm = [
            asyncio.create_task(one.pay(f"STORM{n:04d}", codes(one.code_prefix)))
            for n in range(40)
            for one in merchants
        ]
        await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED)
        await sandbox.kill()
        answered = [(await one).said for one in storm]
        await sandbox.start(data_dir)
        rows = {(row["channel"], row["out_trade_no"]): row for row in await sandbox.ledger()}
        for position, said in enumerate(answered):
            row = rows.get((merchants[position % 2].channel, f"STORM{position // 2:04d}"))
            assert said == "lost" or (row and row["state"] == "charged")
        for merchant in merchants:
            assert (await merchant.query("PAID00001")).genuine
            assert (await merchant.pay("OTHER0001", used[merchant])).said in {
                "ACQ.PAYMENT_AUTH_CODE_INVALID",
                "AUTH_CODE_INVALID",
            }
            await until(
                functools.partial(_state, sandbox, merchant.channel, "TYPES0001"), "charged"
            )
            await until(
                functools.partial(_state, sandbox, merchant.channel, "PAID00001"), "refunded"
            )
    finally:
        await sandbox.stop()
    assert not _is_running(sandbox.ledger_pid)


async def test_faults_never_touch_the_ledger_but_a_dead_keeper_stops_the_channels(
    data_dir: pathlib.Path, session: Any, codes: Any
) -> None:
    sandbox = SandboxProcess()
    await sandbox.start(data_dir)
    try:
        merchant = MERCHANTS["alipay"](
            session, (await sandbox.enroll("alipay", "shop"))["credentials"]
        )
        os.kill(sandbox.ledger_pid, signal.SIGKILL)
        assert (await merchant.pay("T0001", codes("28"))).said == "lost"
        assert list(read_ledger(data_dir / "ledger.jsonl")) == []
    finally:
        await sandbox.stop()


async def test_it_dies_with_its_parent(data_dir: pathlib.Path) -> None:
    data_dir.mkdir()
    ready = data_dir / "ready.json"
    code = (
        "import pathlib, subprocess, sys, time\n"
        f"ready = pathlib.Path({str(ready)!r})\n"
        f"command = [sys.executable, '-m', 'sandbox', '--data', {str(data_dir)!r}, "
        f"'--ready-file', str(ready), '--die-with-parent']\n"
        "subprocess.Popen(command, stdout=subprocess.DEVNULL)\n"
        "while not ready.exists(): time.sleep(0.05)\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    assert await parent.wait() == 0
    said = json.loads(ready.read_text())
    await until(lambda: _ended(said["pid"], said["ledger_pid"]), True)


async def test_a_second_sandbox_on_the_same_folder_is_refused(
    data_dir: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = SandboxProcess()
    await sandbox.start(data_dir)
    monkeypatch.setattr("sandbox.limits.LEDGER_READY_SECONDS", 0.5)
    try:
        with pytest.raises(LedgerError, match="another sandbox"):
            await Service.start(data_dir)
    finally:
        await sandbox.stop()


async def test_a_torn_last_line_is_cut(data_dir: pathlib.Path) -> None:
    data_dir.mkdir()
    ledger = data_dir / "ledger.jsonl"
    ledger.write_bytes(b'{"act":"half')
    sandbox = SandboxProcess()
    await sandbox.start(data_dir)
    try:
        assert await sandbox.ledger() == []
        assert ledger.read_bytes() == b""
    finally:
        await sandbox.stop()


async def test_both_ports_survive_a_restart_and_an_account_of_one_port_is_given_its_second(
    data_dir: pathlib.Path,
) -> None:
    sandbox, file = SandboxProcess(), data_dir / "accounts.json"
    await sandbox.start(data_dir)
    try:
        enrolled = await sandbox.enroll("alipay", "a")
        hosts = [enrolled["base_url"], enrolled["second_base_url"]]
        assert len(set(hosts)) == 2
        await sandbox.stop()
        await sandbox.start(data_dir)
        assert [(row["base_url"], row["second_base_url"]) for row in await sandbox.accounts()] == [
            tuple(hosts)
        ]
        await sandbox.stop()
        (kept,) = json.loads(file.read_text())
        del kept["second_port"]
        file.write_text(json.dumps([kept]))
        await sandbox.start(data_dir)
        (row,) = await sandbox.accounts()
        assert row["base_url"] == hosts[0]
        assert row["second_base_url"] not in {hosts[0], "http://127.0.0.1:0"}
    finally:
        await sandbox.stop()


async def test_the_merchants_private_key_is_not_kept(data_dir: pathlib.Path) -> None:
    sandbox = SandboxProcess()
    await sandbox.start(data_dir)
    try:
        enrolled = [
            await sandbox.enroll("alipay", "a", mode="certificate"),
            await sandbox.enroll("wechat", "w"),
        ]
    finally:
        await sandbox.stop()
    kept = (data_dir / "accounts.json").read_text()
    for row in enrolled:
        private = (
            row["credentials"].get("app_private_key") or row["credentials"]["merchant_private_key"]
        )
        middle = max(private.split(), key=len)[60:120]  # neither armour nor the usual beginning
        assert len(middle) > 0
        assert middle not in kept
    assert (data_dir / "accounts.json").stat().st_mode & 0o777 == 0o600


async def _state(sandbox: SandboxProcess, channel: str, number: str) -> str:
    return next(
        str(row["state"]) for row in await sandbox.ledger(channel) if row["out_trade_no"] == number
    )


def _is_running(pid: int) -> bool:
    status = pathlib.Path(f"/proc/{pid}/stat")
    # An orphan may wait for its reaper.
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def _ended(*pids: int) -> bool:
    return not any(_is_running(pid) for pid in pids)
