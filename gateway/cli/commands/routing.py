"""`tillgate routing`: which channel accounts are tried first for which payments; a rule file can be
tried on past ones.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from adapters.discovery import discover
from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument, person
from gateway.cli.table import show_table
from gateway.domain.routing_rules import WALL, RuleSet
from gateway.flow.accounts import Candidate
from gateway.flow.choose.rule_trial import DryRun
from gateway.storage.registries.rules import RuleVersion, rules_of

LISTED_MAX = 50  # differences shown; all are counted
SHANGHAI = timezone(WALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """show, set, history, try."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    show = acts.add_parser("show", help="the rules that are followed")
    put = acts.add_parser("set", help="a new version, followed by every worker within seconds")
    history = acts.add_parser("history", help="every version, newest first")
    trial = acts.add_parser(
        "try", help="what a rule file would have chosen for stored payments; changes nothing"
    )
    for each in (show, put, history, trial):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        each.add_argument(
            "--store",
            metavar="ID",
            help="of this store (default: of the merchant, for stores without rules of their own)",
        )
    for each in (put, trial):
        each.add_argument("file", metavar="FILE", help="rules as JSON, - for standard input")
    put.add_argument("--by", help="who writes it (default: you)")
    add_json_argument(history)
    trial.add_argument(
        "--from",
        dest="since",
        metavar="TIME",
        required=True,
        type=_since,
        help="2026-11-20, or with a time: 2026-11-20T11:00",
    )
    trial.add_argument(
        "--to",
        dest="until",
        metavar="TIME",
        required=True,
        type=_until,
        help="a day is taken whole; Asia/Shanghai",
    )
    for each in (show, put, history, trial):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "show":
                await _show(opened, options)
            case "set":
                version, warnings = await opened.rules.write(
                    options.merchant, options.store, _text(options.file), options.by or person()
                )
                _warn(warnings)
                print(f"version {version} of {_whose(options)}; workers follow it within seconds")
            case "history":
                rows = [
                    (each.version, each.created_at, each.created_by, each.rules)
                    for each in await _versions(opened, options)
                ]
                show_table(
                    ("version", "written (UTC)", "by", "rules"),
                    rows,
                    nothing=_nothing(options),
                    as_json=options.json,
                )
            case _:
                await _try(opened, options)

    return act(options, work)


async def _show(opened: Registries, options: argparse.Namespace) -> None:
    newest = await opened.rules.newest(options.merchant, options.store)
    print(newest.rules if newest is not None else _nothing(options))


async def _versions(opened: Registries, options: argparse.Namespace) -> list[RuleVersion]:
    return await opened.rules.history(options.merchant, options.store)


async def _try(opened: Registries, options: argparse.Namespace) -> None:
    written = rules_of(_text(options.file))
    findings = await opened.rules.findings(options.merchant, options.store, written)
    if findings.errors:
        raise CommandError(
            "the rules cannot be used:\n" + "\n".join(f"- {error}" for error in findings.errors)
        )
    _warn(findings.warnings)
    trial = DryRun(
        RuleSet(version=0, rules=written.rules),
        await _accounts(opened, options.merchant),
        LISTED_MAX,
    )
    async for page in opened.rules.paid_before(
        options.merchant, options.since, options.until, options.store
    ):
        trial.take(page)
    names = sorted(trial.was.keys() | trial.would.keys())
    show_table(
        ("account", "was", "would be"),
        [(name, trial.was[name], trial.would[name]) for name in names],
        nothing="no payments in that time",
    )
    if trial.differing:
        print(
            f"\n{trial.differing} of {trial.was.total()} payments would have gone elsewhere first; "
            f"the newest of them:"
        )
        rows = [(each.payment, each.would, each.why) for each in trial.differences]
        listed = [
            (
                was.id,
                was.created_at.astimezone(SHANGHAI),
                was.tender.amount,
                was.channel_account,
                would,
                why,
            )
            for was, would, why in rows
        ]
        show_table(
            ("payment", "made (Shanghai)", "fen", "was", "would be", "why"), listed, nothing=""
        )


async def _accounts(opened: Registries, merchant_id: str) -> list[Candidate]:
    """In order of priority, without credentials: nothing is sent."""
    manifests = discover()
    listed = [
        each for each in await opened.accounts.accounts(merchant_id) if each.channel in manifests
    ]
    return [
        Candidate(
            id=each.id,
            merchant_id=merchant_id,
            store_id=each.store_id,
            priority=each.priority,
            enabled=each.enabled,
            manifest=manifests[each.channel],
        )
        for each in sorted(listed, key=lambda each: (each.priority, each.id))
    ]


def _text(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"the rule file {path} cannot be read: {error.strerror}") from error


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _whose(options: argparse.Namespace) -> str:
    return f"store {options.store}" if options.store else f"merchant {options.merchant}"


def _nothing(options: argparse.Namespace) -> str:
    return f"no rules of {_whose(options)}: accounts are tried in order of priority"


def _since(text: str) -> datetime:
    return _moment(text)[0]


def _until(text: str) -> datetime:
    moment, is_day = _moment(text)
    return moment + timedelta(days=1) if is_day else moment


def _moment(text: str) -> tuple[datetime, bool]:
    """A moment, and whether it is a whole day. Asia/Shanghai unless it says otherwise."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-11-20 or 2026-11-20T11:00"
        ) from None
    aware = given if given.tzinfo is not None else given.replace(tzinfo=SHANGHAI)
    return aware.astimezone(UTC), "T" not in text and " " not in text
