"""The pure parts of the command line."""

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from adapters.discovery import discover
from gateway.cli.catalogue import COMMANDS
from gateway.cli.client.money import fen_argument
from gateway.cli.client.shown import summary
from gateway.cli.dev.tour.stage import CODES, payment_code
from gateway.cli.failures import CommandError
from gateway.cli.surroundings import ENVIRONMENT_JSON, data_folder, environment, write_private
from gateway.cli.table import padded, width


def test_the_overview_names_every_command_and_loads_no_driver() -> None:
    script = (
        "import sys; from gateway.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: print([m for m in HEAVY if m in sys.modules])"
    )
    heavy = "HEAVY = ['asyncpg', 'aiohttp', 'redis', 'cryptography', 'uvloop', 'msgspec']\n"
    done = subprocess.run(
        [sys.executable, "-c", heavy + script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")
    assert [command.name for command in COMMANDS if f" {command.name}" not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_arguments_and_a_way_to_run(command: "argparse.Namespace") -> None:
    module = import_module(f"gateway.cli.commands.{command.module}")
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)
    assert (module.__doc__ or "").startswith(f"`tillgate {command.name}`")


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("12850", 12_850),
        ("0", 0),
        ("128.50", None),
        ("-1", None),
        ("1e3", None),
        ("１２", None),
        ("", None),
    ],
)
def test_amounts_are_whole_fen(text: str, fen: int | None) -> None:
    if fen is None:
        with pytest.raises(argparse.ArgumentTypeError, match="whole number of fen"):
            fen_argument(text)
    else:
        assert fen_argument(text) == fen


@pytest.mark.parametrize(
    ("text", "columns"), [("paid", 4), ("支付", 4), ("a 支", 4), ("", 0), ("（）", 4)]
)
def test_chinese_takes_two_columns(text: str, columns: int) -> None:
    assert width(text) == columns
    assert width(padded(text, 10)) == 10


@pytest.mark.parametrize("channel", CODES)
def test_tour_codes_are_recognised_by_their_channel_alone(channel: str) -> None:
    code = payment_code(channel, "05")
    owners = [
        name
        for name, manifest in discover().items()
        if any(pattern.match(code) for pattern in manifest.auth_codes)
    ]
    assert (owners, code[-2:]) == ([channel], "05")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"status": "succeeded", "verdict": {"code": "paid", "zh": "收款成功", "en": "Paid"}},
            "succeeded · paid · 收款成功 · Paid",
        ),
        (
            {"status": 404, "code": "not_found", "detail": "no such payment"},
            "not_found · no such payment",
        ),
        (
            {
                "code": "refund_exceeds_captured",
                "detail_zh": "退款金额超出可退金额",
                "detail": "more than is left",
                "verdict": {"code": "fix_and_try"},
            },
            "refund_exceeds_captured · 退款金额超出可退金额 · more than is left",
        ),
        (
            {"code": "field_missing", "field": "order_no", "detail": "missing"},
            "field_missing · order_no · missing",
        ),
        ({"data": []}, "nothing found"),
        ({"data": [{}, {}], "has_more": False}, "2 found"),
    ],
)
def test_an_answer_in_one_line(document: dict[str, object], words: str) -> None:
    assert summary(document) == words


def test_a_data_folder_gives_its_own_settings_and_hides_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILLGATE_LOG_LEVEL", "debug")
    monkeypatch.delenv("TILLGATE_DATABASE_URL", raising=False)
    assert data_folder(None) is None
    assert environment(None) is os.environ
    (tmp_path / ".tillgate").mkdir()
    write_private(
        tmp_path / ".tillgate" / ENVIRONMENT_JSON, {"TILLGATE_DATABASE_URL": "postgresql://a/b"}
    )
    found = environment(None)
    assert (found["TILLGATE_DATABASE_URL"], "TILLGATE_LOG_LEVEL" in found) == (
        "postgresql://a/b",
        False,
    )
    monkeypatch.setenv("TILLGATE_DATABASE_URL", "postgresql://mine/c")
    assert environment(None) is os.environ
    assert environment(tmp_path / ".tillgate")["TILLGATE_DATABASE_URL"] == "postgresql://a/b"
    with pytest.raises(CommandError, match="there is no folder"):
        data_folder(tmp_path / "none")
