"""A new channel is two folders: what `adapters.new_channel` writes pays against the sandbox it
writes, before anybody filled it in.
"""

import shutil
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import adapters
import tests.sandbox_process
from adapters.channel import (
    Channel,
    Flow,
    PayRequest,
    RefundRequest,
    RemoteManifest,
    TradeRef,
)
from adapters.discovery import discover, read_manifests
from adapters.new_channel import ROOT, ChannelNameError, create, main
from adapters.transport import AiohttpTransport, InlineExecutor
from gateway.clock import SystemClock
from gateway.domain.presenting import PaymentCode
from security.secret import Secret, decode_hook

CLOCK = SystemClock()


@pytest.fixture(name="tree", scope="module")
def copy_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree's two sides, to write into."""
    root = tmp_path_factory.mktemp("tree")
    for side in ("adapters", "sandbox"):
        shutil.copytree(ROOT / side, root / side, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest_asyncio.fixture(name="acme", scope="module")
async def make_acme(
    tree: Path,
) -> AsyncIterator[tuple[Channel, tests.sandbox_process.SandboxProcess]]:
    """A channel nobody has filled in yet, and its own sandbox."""
    discover()  # kept for the process: it must not be read first while the copy is in the path
    create("acme", tree)
    sandbox = tests.sandbox_process.SandboxProcess()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapters, "__path__", [*adapters.__path__, str(tree / "adapters")])
        patch.setattr(tests.sandbox_process, "ROOT", tree)
        manifest = read_manifests("adapters", [str(tree / "adapters")])["acme"]
        assert isinstance(manifest, RemoteManifest)
        await sandbox.start(tree / "data")
        await sandbox.settings("acme", query_lag_ms_max=0)
        enrolled = await sandbox.enroll("acme", "a1", profile="standard", callback_url=None)
        credentials = msgspec.convert(
            enrolled["credentials"], manifest.credentials, dec_hook=decode_hook
        )
        transport = AiohttpTransport(clock=CLOCK, signing_executor=InlineExecutor())
        yield manifest.build(credentials, transport, CLOCK), sandbox
        await transport.aclose()
        await sandbox.stop()
        for module in [name for name in sys.modules if name.startswith("adapters.acme")]:
            del sys.modules[module]


def order(number: int, person: str) -> PayRequest:
    now = CLOCK.now()
    return PayRequest(
        out_trade_no=f"TG{number}{person}",
        amount=12_850,
        currency="CNY",
        description="lunch",
        presented=PaymentCode(Secret(f"91{number:014d}{person}")),
        store_id="store_1",
        terminal_id="term_1",
        operator_id="",
        sent_at=now,
        not_after=now + timedelta(seconds=70),
        notify_url=None,
        deadline=CLOCK.monotonic() + 5,
    )


def named(call: str, paid: PayRequest) -> Any:
    shared: dict[str, Any] = {
        "out_trade_no": paid.out_trade_no,
        "channel_trade_no": None,
        "currency": "CNY",
    }
    shared["deadline"] = CLOCK.monotonic() + 5
    if call in {"query", "cancel"}:
        return TradeRef(amount=paid.amount, flow=Flow.CODE, sent_at=paid.sent_at, **shared)
    return RefundRequest(
        out_refund_no="RF1",
        total_amount=paid.amount,
        refund_amount=100,
        reason="",
        notify_url=None,
        **shared,
    )


@pytest.mark.parametrize(
    ("number", "person", "calls", "outcomes"),
    [
        (1, "00", ["query", "cancel", "query"], ["Succeeded", "Succeeded", "Reversed", "Closed"]),
        (
            2,
            "00",
            ["query_refund", "refund", "refund", "query_refund"],
            ["Succeeded", "RefundNotFound", *["RefundSucceeded"] * 3],
        ),
        (3, "01", ["query"], ["Declined", "NotFound"]),
        (4, "04", ["query", "cancel"], ["PayerActionNeeded", "PayerActionNeeded", "Reversed"]),
        (5, "05", ["query"], ["Unknown", "Succeeded"]),
        (6, "06", ["query", "cancel"], ["Unknown", "NotFound", "NothingThere"]),
        (7, "07", ["query"], ["Unknown", "NotFound"]),
    ],
)
async def test_an_unfilled_channel_pays(
    acme: tuple[Channel, Any], number: int, person: str, calls: list[str], outcomes: list[str]
) -> None:
    channel, _ = acme
    paid = order(number, person)
    seen = [
        await channel.pay(paid),
        *[await getattr(channel, call)(named(call, paid)) for call in calls],
    ]
    assert [type(outcome).__name__ for outcome in seen] == outcomes


@pytest.mark.parametrize(
    ("number", "fault", "outcome"),
    [
        (11, "wrong_amount", "Mismatch"),
        (12, "wrong_order", "Mismatch"),
        (13, "bad_signature", "Unknown"),
    ],
)
async def test_its_sandbox_obeys_faults(
    acme: tuple[Channel, Any], number: int, fault: str, outcome: str
) -> None:
    channel, sandbox = acme
    await sandbox.arm("acme", "pay", fault, times=1)
    assert type(await channel.pay(order(number, "00"))).__name__ == outcome


def test_the_copies_hold_no_word_of_the_template(tree: Path, acme: object) -> None:
    written = [
        path
        for side in ("adapters", "sandbox")
        for path in (tree / side / "acme").rglob("*")
        if "__pycache__" not in path.parts
    ]
    assert {"test_acme.py", "paid.json", "desk.py"} <= {path.name for path in written}
    assert not [path for path in written if "template" in str(path.relative_to(tree)).lower()]
    assert not [
        path for path in written if path.is_file() and "template" in path.read_text().lower()
    ]


def test_the_template_itself_is_not_a_channel() -> None:
    assert not [name for name in discover() if "template" in name]


BAD_NAMES = ["", "a", "Acme", "acme-pay", "1acme", "acme.pay", "../acme", "class", "x" * 33]
TAKEN_NAMES = ["alipay", "transport", "channel", "ledger"]


@pytest.mark.parametrize("name", BAD_NAMES + TAKEN_NAMES)
def test_a_bad_name_is_refused_and_nothing_is_written(tree: Path, name: str) -> None:
    before = folders(tree)
    with pytest.raises(ChannelNameError):
        create(name, tree)
    assert folders(tree) == before


def folders(tree: Path) -> list[Path]:
    return sorted(
        path
        for side in ("adapters", "sandbox")
        for path in (tree / side).rglob("*")
        if "__pycache__" not in path.parts
    )


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["--help"], 2), (["a", "b"], 2), (["alipay"], 1)]
)
def test_the_command_line_says_no_by_its_status(arguments: list[str], status: int) -> None:
    assert main(arguments) == status
