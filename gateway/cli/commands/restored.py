"""`tillgate restored`: after the database was restored from a backup, ask every channel before
anything is charged again.
"""

import argparse
from datetime import UTC, datetime

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument, person
from gateway.cli.table import show_table
from gateway.limits import DIRECTORY_AGE_MS_MAX


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """begin, end, show."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    begin = acts.add_parser(
        "begin",
        help="from now on: before anything is opened, ask the channels whether they know it",
    )
    begin.add_argument(
        "--lost-from",
        required=True,
        type=_moment,
        metavar="TIME",
        help=(
            "the end of the backup, as 2026-11-21T14:05:00+08:00; "
            "what happened after it may be missing"
        ),
    )
    end = acts.add_parser("end", help="the books are complete again")
    show = acts.add_parser("show", help="whether it stands, and what is left to do")
    for each in (begin, end):
        each.add_argument("--by", help="who says so (default: you)")
    add_json_argument(show)
    for each in (begin, end, show):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "begin":
            if not await opened.restored.begin(options.lost_from, options.by or person()):
                raise CommandError(
                    "--lost-from lies in the future: name the end of the backup that was restored"
                )
            print(
                f"restored mode stands; every worker knows within {DIRECTORY_AGE_MS_MAX // 1000} "
                f"s: start `tillgate serve` after that"
            )
        elif options.act == "end":
            if not await opened.restored.end(options.by or person()):
                raise CommandError("restored mode does not stand: nothing to end")
            print("restored mode has ended")
        else:
            await _show(opened, as_json=options.json)

    return act(options, work)


async def _show(opened: Registries, *, as_json: bool) -> None:
    head = ("lost from (UTC)", "begun by", "begun", "ended by", "ended")
    times = await opened.restored.times()
    rows = [
        (each.lost_from, each.begun_by, each.begun_at, each.ended_by, each.ended_at)
        for each in times
    ]
    show_table(head, rows, nothing="restored mode never stood", as_json=as_json)
    if not as_json and times and times[0].ended_at is None:
        undecided, unknown = await opened.restored.left()
        print(
            f"it stands: {undecided} attempts are undecided, "
            f"{unknown} callbacks were about numbers that the books do not know"
        )


def _moment(text: str) -> datetime:
    """With its zone: a backup's time without one is an hour of guessing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment with its zone, as 2026-11-21T14:05:00+08:00"
        )
    return moment.astimezone(UTC)
