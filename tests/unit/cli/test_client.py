"""What a person's client commands make of an answer: exit codes, lines, filters, addresses."""

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from gateway import __version__
from gateway.cli.catalogue import COMMANDS
from gateway.cli.client.exit_codes import BY_VERDICT, exit_code
from gateway.cli.client.money import yuan
from gateway.cli.client.shown import lines
from gateway.cli.commands import completion, events, listen, trigger
from gateway.cli.dev.triggers import TRIGGERS
from gateway.cli.failures import CommandError, NoAnswer
from gateway.domain.verdicts import VERDICTS


@pytest.mark.parametrize(
    ("ok", "verdict", "code"),
    [
        (True, "paid", 0),
        (True, "refunded", 0),
        (True, "safe_to_charge_again", 3),
        (True, "wait", 4),
        (True, "do_not_charge_again", 4),
        (True, "a_word_of_next_year", 4),
        (True, "refund_under_way", 5),
        (True, "refund_needs_action", 6),
        (True, None, 0),
        (False, "try_again", 1),
        (False, "paid", 1),
        (False, "safe_to_charge_again", 1),
        (False, "do_not_charge_again", 4),
        (False, None, 1),
    ],
)
def test_the_exit_code_tells_the_verdict(ok: bool, verdict: str | None, code: int):
    document = {} if verdict is None else {"verdict": {"code": verdict}}
    assert exit_code(document, ok=ok) == code


def test_every_verdict_of_a_payment_or_refund_has_an_exit_code():
    of_problems_only = {"try_again", "fix_and_try", "already_paid"}
    assert VERDICTS.keys() - of_problems_only == BY_VERDICT.keys()


def test_no_answer_is_not_known_and_other_failures_are_wrong_use():
    assert (CommandError.exit_code, NoAnswer.exit_code) == (2, 4)


@pytest.mark.parametrize(
    ("fen", "text"), [(0, "0.00"), (5, "0.05"), (12_850, "128.50"), (-1_207, "-12.07")]
)
def test_fen_are_shown_as_yuan(fen: int, text: str):
    assert yuan(fen) == text


def test_a_payment_in_lines():
    payment = {
        "object": "payment",
        "id": "pay_1",
        "status": "succeeded",
        "amount": 4_650,
        "amount_captured": 4_650,
        "amount_refunded": 0,
        "change": 350,
        "verdict": {"code": "paid", "zh": "收款成功", "en": "Paid"},
        "failure": None,
        "next_action": None,
    }
    assert lines(payment) == [
        "succeeded · paid · 收款成功 · Paid",
        "  id                pay_1",
        "  amount            46.50",
        "  captured          46.50",
        "  change            3.50",
    ]
    assert [text.split()[0] for text in lines({"data": [payment]})] == ["pay_1"]
    assert lines({"detail": "no", "code": "not_found"}) == []


REFUND = {"type": "refund.succeeded", "data": {"refund": {"id": "ref_1", "payment_id": "pay_1"}}}
PAYMENT = {"type": "payment.failed", "data": {"payment": {"id": "pay_2", "order_no": "B1"}}}


@pytest.mark.parametrize(
    ("words", "event", "shown"),
    [
        ([], PAYMENT, True),
        (["--type", "payment.failed"], PAYMENT, True),
        (["--type", "payment.failed", "--type", "refund.succeeded"], REFUND, True),
        (["--type", "payment.failed"], REFUND, False),
        (["--order", "B1"], PAYMENT, True),
        (["--order", "B1"], REFUND, False),
        (["--payment", "pay_1"], REFUND, True),
        (["--payment", "pay_1"], PAYMENT, False),
    ],
)
def test_events_are_filtered(words: list[str], event: dict[str, object], shown: bool):
    parser = argparse.ArgumentParser()
    events.add_arguments(parser)
    assert events.wanted(event, parser.parse_args(words)) is shown


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://localhost:3000/hook", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]:9/", True),
        ("http://192.168.0.7:3000/", False),
        ("https://shop.example/", False),
        ("http://localhost.example/", False),
        ("localhost:3000", False),
    ],
)
def test_events_are_forwarded_to_this_machine_only(url: str, taken: bool):
    if taken:
        assert listen.local_address(url) == url
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="not on this machine"):
            listen.local_address(url)


def test_every_kind_that_can_be_triggered_has_its_trigger():
    assert set(trigger.KINDS) == TRIGGERS.keys()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_knows_every_command_and_act(shell: str, capsys: pytest.CaptureFixture[str]):
    completion.run(argparse.Namespace(shell=shell))
    script = capsys.readouterr().out
    assert [command.name for command in COMMANDS if command.name not in script] == []
    assert "deliveries" in script
    assert "--idempotency-key" in script
    assert "--end-with-parent" not in script, "not for people"


TRYING = """eval "$(cat)"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _tillgate; echo "${COMPREPLY[@]}"; }
try tillgate canc
try tillgate case cl
try tillgate case close --rea
try tillgate trigger refund.s
"""


def test_bash_completes_words():
    done = subprocess.run(
        ["bash", "-c", TRYING],
        input=completion.script("bash"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["cancel", "close", "--reason", "refund.succeeded"]


QUICK = ["pay", "query", "refund", "cancel", "events", "listen", "trigger", "completion"]


@pytest.mark.parametrize("name", QUICK)
def test_help_of_a_till_s_command_loads_no_driver(name: str):
    module = next(each.module for each in COMMANDS if each.name == name)
    import_module(f"gateway.cli.commands.{module}")
    script = (
        "import sys; from gateway.__main__ import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "finally: print([m for m in HEAVY if m in sys.modules])"
    )
    heavy = "HEAVY = ['asyncpg', 'aiohttp', 'redis', 'uvloop', 'structlog', 'prometheus_client']\n"
    done = subprocess.run(
        [sys.executable, "-c", heavy + script], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n")


def test_the_version():
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tillgate {__version__}\n"
