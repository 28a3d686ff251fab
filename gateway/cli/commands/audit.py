"""`tillgate audit`: what people and keys did, and whether the books still are as they were written.

A chain without a head kept elsewhere can be made anew as a whole by a person who may do anything:
keep the head where that person is not (docs/audit.md).
"""

from __future__ import annotations

import argparse
import json
import re

from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table
from gateway.storage.books.audit_chain import Broken, Kept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list, head, verify."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = acts.add_parser("list", help="who did what, newest first")
    listing.add_argument("--merchant", metavar="ID", help="about this merchant only")
    listing.add_argument(
        "--object", metavar="ID", help="about this key, account, endpoint, case, … only"
    )
    head = acts.add_parser("head", help="the newest link: keep it where the database is not")
    verify = acts.add_parser(
        "verify", help="make the whole chain again; name the first row that is not as it was"
    )
    verify.add_argument(
        "--head",
        dest="heads",
        action="append",
        default=[],
        type=_head,
        metavar="LINK:HASH",
        help="a head that was kept elsewhere; may be given several times",
    )
    add_json_argument(listing)
    for each in (listing, head, verify):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """0: done, and intact. Raises CommandError for a chain that is broken."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "list":
                await _list(opened, options)
            case "head":
                newest = await opened.chain.head()
                if newest is None:
                    raise CommandError("the chain is empty: `tillgate work` makes its links")
                print(f"{newest.number}:{newest.hash.hex()}  {newest.at:%Y-%m-%d %H:%M:%S} UTC")
            case _:
                await _verify(opened, options.heads)

    return act(options, work)


async def _list(opened: Registries, options: argparse.Namespace) -> None:
    rows = [
        (
            each.at,
            f"{each.asked_by} ({each.asked_as})",
            each.act,
            each.object,
            each.merchant_id,
            _shown(each.before),
            _shown(each.after),
        )
        for each in await opened.acts.newest(options.merchant, options.object)
    ]
    head = ("at (UTC)", "by", "act", "about", "merchant", "before", "after")
    show_table(head, rows, nothing="nothing was done yet", as_json=options.json)


async def _verify(opened: Registries, heads: list[Kept]) -> None:
    result = await opened.chain.verify(heads)
    if isinstance(result, Broken):
        raise CommandError(f"the audit chain is broken at link {result.link}: {result.words}")
    print(
        f"{result.rows} events and acts in {result.links} links are as they were written"
        + (f"; {len(heads)} kept heads are in the chain" if heads else "")
    )


def _shown(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _head(text: str) -> Kept:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise argparse.ArgumentTypeError(f"{text!r} is not LINK:HASH: see `tillgate audit head`")
    return Kept(int(number), bytes.fromhex(digest))
