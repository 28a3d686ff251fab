"""`tillgate terminal`: the tills of a merchant.

A till signs with a key of its own: `tillgate key issue`.
"""

import argparse

from gateway.cli.holders import add_acts, change
from gateway.cli.registries import Registries, act
from gateway.cli.table import show_table
from gateway.domain.holder import HolderKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, rename, disable, enable, list."""
    create = add_acts(parser, HolderKind.TERMINAL)["create"]
    create.add_argument("store", metavar="STORE_ID")
    create.add_argument("name")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "create":
                made = await opened.people.create_terminal(
                    options.merchant, options.store, options.name, options.id
                )
                print(made.id)
            case "list":
                rows = [
                    (each.id, each.store_id, each.name, each.created_at, each.disabled_at)
                    for each in await opened.people.terminals(options.merchant)
                ]
                show_table(
                    ("id", "store", "name", "created (UTC)", "disabled (UTC)"),
                    rows,
                    nothing="none yet: `tillgate terminal create MERCHANT_ID STORE_ID NAME`",
                    as_json=options.json,
                )
            case _:
                await change(opened, options, HolderKind.TERMINAL)

    return act(options, work)
