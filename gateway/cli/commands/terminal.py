"""`tillgate terminal`: the tills of a merchant.

A till signs with a key of its own: `tillgate key issue`.
"""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new till")
    listing = acts.add_parser("list", help="the tills of a merchant")
    for each in (create, listing):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        add_data_argument(each)
    add_json_argument(listing)
    create.add_argument("store", metavar="STORE_ID")
    create.add_argument("name")
    create.add_argument("--id", help="its id (default: a new one)")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "create":
            print(
                (
                    await opened.people.create_terminal(
                        options.merchant, options.store, options.name, options.id
                    )
                ).id
            )
            return
        rows = [
            (till.id, till.store_id, till.name, till.created_at)
            for till in await opened.people.terminals(options.merchant)
        ]
        nothing = "no terminals yet: `tillgate terminal create MERCHANT_ID STORE_ID NAME`"
        show_table(
            ("id", "store", "name", "created (UTC)"), rows, nothing=nothing, as_json=options.json
        )

    return act(options, work)
