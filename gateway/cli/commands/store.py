"""`tillgate store`: the shops of a merchant."""

import argparse

from gateway.cli.holders import add_acts, change
from gateway.cli.registries import Registries, act
from gateway.cli.table import show_table
from gateway.domain.holder import HolderKind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, rename, disable, enable, overrides, list."""
    below = add_acts(parser, HolderKind.STORE)
    below["create"].add_argument("name")
    below["overrides"].add_argument("allowed", choices=("allow", "forbid"))


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "create":
                made = await opened.people.create_store(options.merchant, options.name, options.id)
                print(made.id)
            case "overrides":
                allowed = options.allowed == "allow"
                await opened.people.allow_overrides(
                    options.merchant, options.store, allowed=allowed
                )
                print(f"{options.store}: overrides are {_WORDS[allowed]}")
            case "list":
                rows = [
                    (
                        each.id,
                        each.name,
                        each.created_at,
                        each.disabled_at,
                        _WORDS[each.overrides_allowed],
                    )
                    for each in await opened.people.stores(options.merchant)
                ]
                show_table(
                    ("id", "name", "created (UTC)", "disabled (UTC)", "overrides"),
                    rows,
                    nothing="no stores yet: `tillgate store create MERCHANT_ID NAME`",
                    as_json=options.json,
                )
            case _:
                await change(opened, options, HolderKind.STORE)

    return act(options, work)


_WORDS = {True: "allowed", False: "forbidden"}
