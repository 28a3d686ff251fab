"""`tillgate case`: what the gateway saw and will not decide by itself.

Closing a case with a verdict applies an ordinary payment event: `gateway.flow.case_closing` is the place for it, and the
command is offered here once that exists.
"""

import argparse
import json

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list, show."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = acts.add_parser("list", help="open cases, newest first")
    listing.add_argument("--merchant", metavar="ID", help="of this merchant only")
    listing.add_argument("--all", action="store_true", help="closed ones too")
    show = acts.add_parser("show", help="one case with its evidence")
    show.add_argument("case", metavar="CASE_ID")
    for each in (listing, show):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "list":
            cases = await opened.cases.cases(options.merchant, closed_too=options.all)
            rows = [(case.id, case.kind, case.object_id, case.merchant_id, case.opened_at, case.closed_by) for case in cases]
            head = ("id", "kind", "about", "merchant", "opened (UTC)", "closed by")
            show_table(head, rows, nothing="no open cases" if not options.all else "no cases")
            return
        found = await opened.cases.case(options.case)
        if found is None:
            raise CommandError(f"there is no case {options.case}: `tillgate case list --all` shows what there is")
        facts: dict[str, object] = {"id": found.id, "kind": found.kind, "about": found.object_id, "merchant": found.merchant_id}
        facts |= {"opened_at": f"{found.opened_at:%Y-%m-%dT%H:%M:%SZ}", "evidence": found.evidence}
        if found.closed_at is not None:
            facts |= {"closed_at": f"{found.closed_at:%Y-%m-%dT%H:%M:%SZ}", "closed_by": found.closed_by, "reason": found.reason}
        print(json.dumps(facts, ensure_ascii=False, indent=2))

    return act(options, work)
