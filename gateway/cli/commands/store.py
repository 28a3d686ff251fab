"""`tillgate store`: the shops of a merchant."""

import argparse
from collections.abc import Sequence
from datetime import timedelta

from gateway.cli.holders import add_acts, change
from gateway.cli.registries import Registries, act
from gateway.cli.table import show_table
from gateway.domain.days import CutOff
from gateway.domain.holder import HolderKind
from gateway.domain.routing_rules import minute_of_day
from gateway.storage.registries.cut_offs import time_of_day


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, rename, disable, enable, overrides, cutoff, list."""
    below = add_acts(parser, HolderKind.STORE)
    below["create"].add_argument("name")
    below["overrides"].add_argument("allowed", choices=("allow", "forbid"))
    below["cutoff"].description = (
        "What is paid before this time belongs to the business day before. A new time counts from "
        "the next business day on: the day under way ends as it was meant to."
    )
    below["cutoff"].add_argument("begins", metavar="HH:MM", type=_time, help="before 12:00")


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
            case "cutoff":
                since = await opened.cut_offs.begin(options.merchant, options.store, options.begins)
                begins = time_of_day(options.begins)
                print(f"{options.store}: from {since} on, a day begins at {begins}")
            case "list":
                days = await opened.cut_offs.of_stores(options.merchant)
                rows = [
                    (
                        each.id,
                        each.name,
                        each.created_at,
                        each.disabled_at,
                        _WORDS[each.overrides_allowed],
                        _shown(days.get(each.id, ())),
                    )
                    for each in await opened.people.stores(options.merchant)
                ]
                show_table(
                    ("id", "name", "created (UTC)", "disabled (UTC)", "overrides", "day begins"),
                    rows,
                    nothing="no stores yet: `tillgate store create MERCHANT_ID NAME`",
                    as_json=options.json,
                )
            case _:
                await change(opened, options, HolderKind.STORE)

    return act(options, work)


def _time(text: str) -> timedelta:
    try:
        return timedelta(minutes=minute_of_day(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _shown(cut_offs: Sequence[CutOff]) -> str:
    if not cut_offs:
        return "00:00"
    return f"{time_of_day(cut_offs[-1].begins)} since {cut_offs[-1].since}"


_WORDS = {True: "allowed", False: "forbidden"}
