"""`tillgate store`: the shops of a merchant."""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new store")
    listing = acts.add_parser("list", help="the stores of a merchant")
    for each in (create, listing):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        add_data_argument(each)
    create.add_argument("name")
    create.add_argument("--id", help="its id (default: a new one)")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "create":
            print((await opened.people.create_store(options.merchant, options.name, options.id)).id)
            return
        rows = [
            (store.id, store.name, store.created_at)
            for store in await opened.people.stores(options.merchant)
        ]
        show_table(
            ("id", "name", "created (UTC)"),
            rows,
            nothing="no stores yet: `tillgate store create MERCHANT_ID NAME`",
        )

    return act(options, work)
