"""`tillgate store`: the shops of a merchant."""

import argparse

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument
from gateway.cli.table import show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, overrides, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new store")
    overrides = acts.add_parser(
        "overrides",
        help="whether a supervisor may let another payment in while one is in doubt",
    )
    listing = acts.add_parser("list", help="the stores of a merchant")
    for each in (create, overrides, listing):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        add_data_argument(each)
    create.add_argument("name")
    overrides.add_argument("store", metavar="STORE_ID")
    overrides.add_argument("allowed", choices=("allow", "forbid"))
    create.add_argument("--id", help="its id (default: a new one)")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        if options.act == "create":
            print((await opened.people.create_store(options.merchant, options.name, options.id)).id)
            return
        if options.act == "overrides":
            await opened.people.allow_overrides(
                options.merchant, options.store, allowed=options.allowed == "allow"
            )
            print(f"{options.store}: overrides are {_WORDS[options.allowed == 'allow']}")
            return
        rows = [
            (store.id, store.name, store.created_at, _WORDS[store.overrides_allowed])
            for store in await opened.people.stores(options.merchant)
        ]
        show_table(
            ("id", "name", "created (UTC)", "overrides"),
            rows,
            nothing="no stores yet: `tillgate store create MERCHANT_ID NAME`",
        )

    return act(options, work)


_WORDS = {True: "allowed", False: "forbidden"}
