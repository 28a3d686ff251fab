"""`tillgate merchant`: the tenants."""

import argparse

from gateway.cli.holders import add_acts, change
from gateway.cli.registries import Registries, act
from gateway.cli.table import show_table
from gateway.domain.holder import HolderKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, rename, disable, enable, list."""
    add_acts(parser, HolderKind.MERCHANT)["create"].add_argument("name")


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "create":
                print((await opened.people.create_merchant(options.name, options.id)).id)
            case "list":
                rows = [
                    (each.id, each.name, each.created_at, each.disabled_at)
                    for each in await opened.people.merchants()
                ]
                show_table(
                    ("id", "name", "created (UTC)", "disabled (UTC)"),
                    rows,
                    nothing="no merchants yet: `tillgate merchant create NAME`",
                    as_json=options.json,
                )
            case _:
                await change(opened, options, HolderKind.MERCHANT)

    return act(options, work)
