"""`tillgate store`: the shops of a merchant."""

import argparse
from collections.abc import Sequence
from datetime import timedelta

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table
from gateway.domain.days import CutOff
from gateway.domain.routing_rules import minute_of_day
from gateway.storage.registries.cut_offs import time_of_day


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, overrides, cutoff, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new store")
    overrides = acts.add_parser(
        "overrides",
        help="whether a supervisor may let another payment in while one is in doubt",
    )
    cutoff = acts.add_parser(
        "cutoff",
        help="when its business days begin, in Shanghai; from the next day on",
        description="What is paid before this time belongs to the business day before. A new time "
        "counts from the next business day on: the day under way ends as it was meant to.",
    )
    listing = acts.add_parser("list", help="the stores of a merchant")
    for each in (create, overrides, cutoff, listing):
        each.add_argument("merchant", metavar="MERCHANT_ID")
        add_data_argument(each)
    add_json_argument(listing)
    create.add_argument("name")
    for each in (overrides, cutoff):
        each.add_argument("store", metavar="STORE_ID")
    overrides.add_argument("allowed", choices=("allow", "forbid"))
    cutoff.add_argument("begins", metavar="HH:MM", type=_time, help="before 12:00")
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
        if options.act == "cutoff":
            since = await opened.cut_offs.begin(options.merchant, options.store, options.begins)
            begins = time_of_day(options.begins)
            print(f"{options.store}: from {since} on, a day begins at {begins}")
            return
        days = await opened.cut_offs.of_stores(options.merchant)
        rows = [
            (
                store.id,
                store.name,
                store.created_at,
                _WORDS[store.overrides_allowed],
                _shown(days.get(store.id, ())),
            )
            for store in await opened.people.stores(options.merchant)
        ]
        show_table(
            ("id", "name", "created (UTC)", "overrides", "day begins"),
            rows,
            nothing="no stores yet: `tillgate store create MERCHANT_ID NAME`",
            as_json=options.json,
        )

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
