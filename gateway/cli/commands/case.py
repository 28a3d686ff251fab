"""`tillgate case`: what the gateway saw and will not decide by itself.

Closing a case with a finding applies the ordinary payment event on the word of the person who
closes it.
"""

import argparse
import asyncio
import json

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act, registries
from gateway.cli.surroundings import add_data_argument, environment, said_by
from gateway.cli.table import show_table
from gateway.domain.case import Finding
from gateway.settings import Settings, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list, show, close."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = acts.add_parser("list", help="open cases, newest first")
    listing.add_argument("--merchant", metavar="ID", help="of this merchant only")
    listing.add_argument("--all", action="store_true", help="closed ones too")
    show = acts.add_parser("show", help="one case with its evidence")
    show.add_argument("case", metavar="CASE_ID")
    close = acts.add_parser("close", help="close a case; with --as, decide its payment")
    close.add_argument("case", metavar="CASE_ID")
    close.add_argument(
        "--as",
        dest="finding",
        choices=[str(finding) for finding in Finding],
        help="what you found out about the payment's money",
    )
    close.add_argument(
        "--reason", required=True, help="what you looked at, for whoever reads this next year"
    )
    close.add_argument("--by", help="who closes it (default: you)")
    for each in (listing, show, close):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    if options.act == "close":
        return _close(options)

    async def work(opened: Registries) -> None:
        if options.act == "list":
            cases = await opened.cases.cases(options.merchant, closed_too=options.all)
            rows = [
                (
                    case.id,
                    case.kind,
                    case.object_id,
                    case.merchant_id,
                    case.opened_at,
                    case.closed_by,
                )
                for case in cases
            ]
            head = ("id", "kind", "about", "merchant", "opened (UTC)", "closed by")
            show_table(head, rows, nothing="no open cases" if not options.all else "no cases")
            return
        found = await opened.cases.case(options.case)
        if found is None:
            raise CommandError(
                f"there is no case {options.case}: `tillgate case list --all` shows what there is"
            )
        facts: dict[str, object] = {
            "id": found.id,
            "kind": found.kind,
            "about": found.object_id,
            "attempt": found.attempt_id,
            "merchant": found.merchant_id,
        }
        facts |= {"opened_at": f"{found.opened_at:%Y-%m-%dT%H:%M:%SZ}", "evidence": found.evidence}
        if found.closed_at is not None:
            facts |= {
                "closed_at": f"{found.closed_at:%Y-%m-%dT%H:%M:%SZ}",
                "closed_by": found.closed_by,
                "reason": found.reason,
            }
        print(json.dumps(facts, ensure_ascii=False, indent=2))

    return act(options, work)


def _close(options: argparse.Namespace) -> int:
    settings = read_settings(environment(options.data))
    asyncio.run(_closed(settings, options))
    return 0


async def _closed(settings: Settings, options: argparse.Namespace) -> None:
    from gateway.composition import case_closing, gateway  # noqa: PLC0415  the drivers, only once the settings are right

    async with registries(settings) as opened:
        found = await opened.cases.case(options.case)
    if found is None or found.closed_at is not None:
        raise CommandError(
            f"there is no open case {options.case}: `tillgate case list` shows what there is"
        )
    async with gateway(settings) as world:
        payment = await case_closing(world).close(
            found.merchant_id,
            found.id,
            found.object_id,
            Finding(options.finding) if options.finding else None,
            by=said_by(options.by),
            reason=options.reason,
            attempt_id=found.attempt_id,
        )
    print(
        f"closed {found.id}"
        + (f"; payment {payment.id} is {payment.status}" if payment is not None else "")
    )
