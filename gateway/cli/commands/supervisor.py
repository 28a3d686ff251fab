"""`tillgate supervisor`: who may let another payment in while one is in doubt."""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, reset, disable, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new supervisor; the PIN is shown once")
    reset = acts.add_parser("reset", help="a new PIN, after one was lost or locked")
    disable = acts.add_parser("disable", help="take no PIN of this person any more")
    listing = acts.add_parser("list", help="the supervisors of a merchant")
    for each in (create, reset, disable, listing):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        add_data_argument(each)
    add_json_argument(listing)
    create.add_argument("name")
    create.add_argument("--id", help="the id (default: a new one)")
    create.add_argument("--store", metavar="STORE_ID", help="only this store (default: all)")
    for each in (reset, disable):
        each.add_argument("supervisor", metavar="SUPERVISOR_ID")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        people = opened.supervisors
        match options.act:
            case "create":
                made, pin = await people.create(
                    options.merchant, options.name, options.id, options.store
                )
                print(f"{made}\nPIN: {pin.reveal()} (shown once)")
            case "reset":
                pin = await people.reset(options.merchant, options.supervisor)
                print(f"PIN: {pin.reveal()} (shown once)")
            case "disable":
                await people.disable(options.merchant, options.supervisor)
                print(f"{options.supervisor} is disabled")
            case _:
                rows = [
                    (each.id, each.store_id or "all", each.name, each.state, each.created_at)
                    for each in await people.supervisors(options.merchant)
                ]
                show_table(
                    ("id", "store", "name", "state", "created (UTC)"),
                    rows,
                    nothing="none yet: `tillgate supervisor create MERCHANT_ID NAME`",
                    as_json=options.json,
                )

    return act(options, work)
