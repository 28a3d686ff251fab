"""`tillgate merchant`: the tenants."""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new merchant")
    create.add_argument("name")
    create.add_argument("--id", help="its id (default: a new one)")
    listing = acts.add_parser("list", help="all merchants")
    add_json_argument(listing)
    for each in (create, listing):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "create":
            print((await opened.people.create_merchant(options.name, options.id)).id)
            return
        rows = [
            (merchant.id, merchant.name, merchant.created_at)
            for merchant in await opened.people.merchants()
        ]
        show_table(
            ("id", "name", "created (UTC)"),
            rows,
            nothing="no merchants yet: `tillgate merchant create NAME`",
            as_json=options.json,
        )

    return act(options, work)
