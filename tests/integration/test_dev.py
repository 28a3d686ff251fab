"""`tillgate dev` as a person runs it: the tour is whole, the books agree, nothing stays behind."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from gateway.cli.dev.children import DEATHS_MAX
from gateway.cli.dev.tour.runner import SUBJECTS
from gateway.cli.surroundings import without_settings
from tests.servers import temporary_root

ROOT = Path(__file__).resolve().parents[2]
TOUR_S_MAX = 60.0  # the promise of the command line's description
PATIENCE_S = 150.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
FIELDS = {
    "base_url",
    "operations_url",
    "work_operations_url",
    "sandbox_url",
    "merchant_id",
    "merchant_key",
    "terminal_key",
    "accounts",
    "webhook_secret",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_root() as root:
        yield root / "dev"


@contextlib.contextmanager
def dev(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `tillgate dev` that is over at the end, whatever the test did."""
    command = [
        sys.executable,
        "-m",
        "gateway",
        "dev",
        "--data",
        str(folder),
        "--port",
        "0",
        "--workers",
        "2",
        *arguments,
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=without_settings(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def left_behind(folder: Path, pid: int) -> list[str]:
    """Command lines of living processes that name the folder or that dev as their parent."""
    words = [command_line(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")]
    return [each for each in words if str(folder) in each or f"--end-with-parent {pid} " in each]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> str:
    """Empty when it is gone."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def until(process: subprocess.Popen[str], beginning: str) -> str:
    """What it said up to a line that begins so."""
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if line.startswith(beginning):
            break
    return "".join(shown)


def trades(output: str) -> int:
    found = re.search(r"books agree .* ([0-9]+) trades: .* difference 0.00", output)
    assert found is not None, output
    return int(found[1])


def test_the_tour_is_whole_and_leaves_nothing_behind(folder: Path) -> None:
    with dev(folder, "--once") as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert left_behind(folder, process.pid) == []
    assert output.startswith(f"Tillgate dev, data in {folder}")
    assert [title for title, _ in SUBJECTS if f"  ok   {title}" not in output] == []
    assert trades(output) > 0
    seconds = re.search(r"^  ([0-9.]+) s$", output, re.MULTILINE)
    assert seconds is not None
    assert float(seconds[1]) < TOUR_S_MAX
    document = json.loads((folder / "dev.json").read_text())
    assert document.keys() >= FIELDS
    assert {account["channel"] for account in document["accounts"]} >= {"alipay", "wechat", "cash"}
    assert document["webhook_secret"].startswith("whsec_")
    for name in ("dev.json", "environment.json", "master.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_second_run_goes_on_with_the_same_shop_and_serves_until_ctrl_c(folder: Path) -> None:
    before = json.loads((folder / "dev.json").read_text())
    with dev(folder) as process:
        output = until(process, "Ctrl-C")
        after = json.loads((folder / "dev.json").read_text())
        for name in ("merchant_id", "merchant_key", "terminal_key", "accounts", "webhook_secret"):
            assert after[name] == before[name]
        assert trades(output) >= len(SUBJECTS)  # those of both runs
        for url, sample in (
            (after["operations_url"], "tillgate_http_connections{"),
            (after["work_operations_url"], "tillgate_sweeper_steps_total{"),
        ):
            with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as answer:
                assert sample in answer.read().decode()
        for name, event in (("serve", "serving"), ("work", "working")):
            first = (folder / "logs" / f"{name}.log").read_text().splitlines()[0]
            assert event in first
            assert f"version={version('tillgate')}" in first
            assert "operations=127.0.0.1:" in first
        pasted = re.search(r"gateway (pay \d+ --code \d+ --data \S+)$", output, re.MULTILINE)
        assert pasted is not None, output
        paid = command(*pasted[1].split(), "--json")
        assert json.loads(paid.stdout)["verdict"]["code"] == "paid", paid.stderr
        doctor = command("doctor", "--data", str(folder))
        assert (doctor.returncode, "wait for a person" in doctor.stdout) == (0, False)
        assert "still running" in command("stop", "--data", str(folder)).stderr
        with dev(folder) as refused:
            words, _ = refused.communicate(timeout=PATIENCE_S)
        assert (refused.returncode, "another `tillgate dev` runs on" in words) == (2, True)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, rest
    assert left_behind(folder, process.pid) == []


def test_a_part_that_died_is_started_again_and_told(folder: Path) -> None:
    with dev(folder) as process:
        output = until(process, "Ctrl-C")
        before = json.loads((folder / "dev.json").read_text())
        for name, words in (("serve", "gateway serve "), ("sandbox", "-m sandbox ")):
            os.kill(part(process, words), signal.SIGKILL)
            said = until(process, f"{name} was started again")
            assert f"{name} was killed by signal 9" in said
        assert json.loads((folder / "dev.json").read_text()) == before
        pasted = re.search(r"gateway (pay \d+ --code \d+ --data \S+)$", output, re.MULTILINE)
        assert pasted is not None, output
        wait_until_ready(before["base_url"])
        paid = command(*pasted[1].split(), "--json")
        assert json.loads(paid.stdout)["verdict"]["code"] == "paid", paid.stderr


def test_a_part_that_dies_again_and_again_ends_the_rest(folder: Path) -> None:
    with dev(folder) as process:
        until(process, "Ctrl-C")
        for _ in range(DEATHS_MAX - 1):
            os.kill(part(process, "gateway work "), signal.SIGKILL)
            until(process, "work was started again")
        os.kill(part(process, "gateway work "), signal.SIGKILL)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, "work was killed by signal 9" in rest) == (1, True)
    assert f"work died {DEATHS_MAX} times in a row: giving up" in rest
    assert left_behind(folder, process.pid) == []


def part(process: subprocess.Popen[str], words: str) -> int:
    """The child of dev with these words in its command line."""
    [pid] = [pid for pid in children_of(process.pid) if words in command_line(pid)]
    return pid


def wait_until_ready(base_url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base_url}/readyz", timeout=5):
            return
        time.sleep(0.05)
    raise TimeoutError(base_url)


def test_after_a_kill_only_the_servers_stay_and_stop_ends_them(folder: Path) -> None:
    with dev(folder) as process:
        until(process, "  gateway ")
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    stopped = command("stop", "--data", str(folder))
    assert stopped.stdout == f"stopped PostgreSQL and Redis in {folder}\n", stopped.stderr
    assert command("stop", "--data", str(folder)).stdout == f"nothing was running in {folder}\n"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env=without_settings(os.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
