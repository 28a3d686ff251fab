"""`tillgate key`: API keys.

A secret is printed once, when it is issued, and can never be read again.
"""

import argparse
import sys

from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import add_data_argument, add_json_argument
from gateway.cli.table import show_table
from gateway.domain.refund_limits import refund_limits
from gateway.limits import AMOUNT_FEN_MAX
from gateway.storage.registries.keys import IssuedKey, KeyListing
from security.key_material import KeyEnvironment
from security.roles import Role

MERCHANT_ROLES = [role.value for role in Role if role is not Role.TERMINAL]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """issue, rotate, revoke, limits, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    issue = acts.add_parser("issue", help="a new key for a till or a merchant")
    issue.add_argument("merchant", metavar="MERCHANT_ID")
    holder = issue.add_mutually_exclusive_group(required=True)
    holder.add_argument("--terminal", metavar="ID", help="the till it is for")
    holder.add_argument("--role", choices=MERCHANT_ROLES, help="what a merchant's key may do")
    rotate = acts.add_parser(
        "rotate",
        help="a second key for the same holder; revoke the first when the second is in use",
    )
    revoke = acts.add_parser("revoke", help="end a key, everywhere within seconds")
    limits = acts.add_parser(
        "limits", help="how much a key gives back alone; what is not said is as the role has it"
    )
    limits.add_argument("--refund", type=_fen, metavar="FEN", help="by one refund")
    limits.add_argument("--day", type=_fen, metavar="FEN", help="by all refunds of a day")
    listing = acts.add_parser("list", help="the keys of a merchant")
    listing.add_argument("merchant", metavar="MERCHANT_ID")
    listing.add_argument("--terminal", metavar="ID", help="of this till only")
    add_json_argument(listing)
    for each in (rotate, revoke, limits):
        each.add_argument("key", metavar="KEY_ID")
    for each in (issue, rotate):
        each.add_argument(
            "--test",
            action="store_true",
            help="for sandbox channels: the secret begins with sk_test_",
        )
    for each in (issue, rotate, revoke, limits, listing):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        environment = (
            KeyEnvironment.TEST if getattr(options, "test", False) else KeyEnvironment.LIVE
        )
        match options.act:
            case "issue" if options.terminal is not None:
                _show_once(
                    await opened.people.issue_terminal_key(
                        options.merchant, options.terminal, environment
                    )
                )
            case "issue":
                _show_once(
                    await opened.people.issue_merchant_key(
                        options.merchant, Role(options.role), environment
                    )
                )
            case "rotate":
                _show_once(await opened.people.rotate_key(options.key, environment))
            case "revoke":
                await opened.people.revoke_key(options.key)
                print(f"{options.key} is revoked")
            case "limits":
                await opened.people.limit_refunds(options.key, options.refund, options.day)
                print(f"{options.key} gives back {_limits(await opened.people.key(options.key))}")
            case _:
                await _list(opened, options)

    return act(options, work)


def _fen(text: str) -> int:
    amount = int(text)
    if not 0 <= amount <= AMOUNT_FEN_MAX:
        raise ValueError(text)
    return amount


def _limits(key: KeyListing) -> str:
    limits = refund_limits(key.role, key.refund_max, key.refund_day_max)
    each, day = ("any amount" if fen is None else f"{fen} fen" for fen in limits)
    return f"{each} at once, {day} a day"


def _show_once(key: IssuedKey) -> None:
    print(f"id      {key.id}")
    print(f"secret  {key.secret.reveal()}")
    print("Keep the secret now: it is stored sealed and never shown again.", file=sys.stderr)


async def _list(opened: Registries, options: argparse.Namespace) -> None:
    keys = await opened.people.keys(options.merchant, options.terminal)
    rows = [
        (
            key.id,
            key.role,
            key.environment,
            key.store_id,
            key.terminal_id,
            _limits(key),
            key.created_at,
            key.used_at,
            key.revoked_at,
        )
        for key in keys
    ]
    head = (
        "id",
        "role",
        "environment",
        "store",
        "terminal",
        "gives back",
        "created (UTC)",
        "last used (UTC)",
        "revoked (UTC)",
    )
    show_table(
        head,
        rows,
        nothing="no keys yet: `tillgate key issue MERCHANT_ID --terminal ID`",
        as_json=options.json,
    )
