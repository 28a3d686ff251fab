"""`tillgate account`: channel accounts, the units of routing and failover.

Credentials are read from a file, never from an argument.
"""

import argparse
import json
import sys
from pathlib import Path

from adapters.channel import LocalManifest
from adapters.discovery import discover
from gateway.cli.account_trial import refuse_untried
from gateway.cli.commands.account_health import show_health
from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act
from gateway.cli.surroundings import (
    add_data_argument,
    add_json_argument,
    environment,
    person,
)
from gateway.cli.table import show_table
from gateway.settings import read_settings
from gateway.storage.registries.accounts import NO_CREDENTIALS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """create, enable, disable, drain, undrain, place, rotate, show, health, list."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="a new account, enabled at once")
    create.add_argument("merchant", metavar="MERCHANT_ID")
    create.add_argument(
        "channel", metavar="CHANNEL", help="alipay, wechat, cash, or another that is installed"
    )
    create.add_argument(
        "--id", help="its id (default: a new one); callbacks come to /callbacks/<id>"
    )
    create.add_argument(
        "--store", metavar="ID", help="serves this store only (default: all of the merchant)"
    )
    create.add_argument(
        "--priority", type=int, default=100, help="lower is tried first (default 100)"
    )
    rotate = acts.add_parser("rotate", help="put other credentials in place")
    for each, is_needed in ((create, False), (rotate, True)):
        each.add_argument(
            "--credentials",
            metavar="FILE",
            required=is_needed,
            help="JSON file, - for standard input; local channels have none",
        )
        each.add_argument(
            "--untried",
            action="store_true",
            help="store them without asking the channel whether it believes them",
        )
    place = acts.add_parser("place", help="move it in the order of trying")
    listing = acts.add_parser("list", help="the accounts of a merchant, or of all")
    listing.add_argument("merchant", metavar="MERCHANT_ID", nargs="?")
    add_json_argument(listing)
    single = [acts.add_parser(name, help=text) for name, text in SINGLE]
    drain = acts.add_parser(
        "drain", help="no new payments for a while, and say why; backups take them"
    )
    drain.add_argument(
        "--reason", required=True, help="stands in the `why` of every payment that goes elsewhere"
    )
    undrain = acts.add_parser("undrain", help="new payments again")
    for each in (drain, undrain):
        each.add_argument("--by", help="who does it (default: you)")
    for each in (rotate, place, drain, undrain, *single):
        each.add_argument("account", metavar="ACCOUNT_ID")
    place.add_argument(
        "priority", metavar="PRIORITY", type=int, help="lower is tried first; 100 unless it was set"
    )
    for each in (create, rotate, place, drain, undrain, listing, *single):
        add_data_argument(each)


SINGLE = (
    ("enable", "use it again for new payments"),
    (
        "disable",
        "no new payments; those under way are still asked about, and refunds still go through it",
    ),
    ("show", "one account, its credentials without secrets"),
    ("health", "what its breakers say in the workers that live, and what moved lately"),
)


def run(options: argparse.Namespace) -> int:
    """Do it."""

    async def work(opened: Registries) -> None:
        match options.act:
            case "create":
                credentials = (
                    _credentials(options.credentials) if options.credentials else NO_CREDENTIALS
                )
                await _tried(opened, options, options.channel, credentials)
                made = await opened.accounts.create(
                    options.merchant,
                    options.channel,
                    credentials,
                    account_id=options.id,
                    store_id=options.store,
                    priority=options.priority,
                )
                print(made)
            case "rotate":
                credentials = _credentials(options.credentials)
                account = await opened.accounts.account(options.account)
                await _tried(opened, options, account.channel, credentials)
                await opened.accounts.rotate_credentials(options.account, credentials)
                print(
                    f"{options.account} has new credentials; workers take them over within seconds"
                )
            case "place":
                await opened.accounts.place(options.account, priority=options.priority)
                print(f"{options.account} has priority {options.priority}")
            case "enable" | "disable":
                await opened.accounts.place(options.account, enabled=options.act == "enable")
                print(f"{options.account} is {options.act}d; workers know within seconds")
            case "drain" | "undrain":
                await _drain(opened, options)
            case "health":
                await show_health(opened, options)
            case "show":
                await _show(opened, options.account)
            case _:
                await _list(opened, options)

    return act(options, work)


async def _tried(
    opened: Registries, options: argparse.Namespace, channel: str, credentials: bytes
) -> None:
    """Before they are stored: what the channel says of them."""
    struct = opened.accounts.usable(channel, credentials)
    manifest = discover()[channel]
    if isinstance(manifest, LocalManifest) or options.untried:
        return
    settings = read_settings(environment(options.data))
    said = await refuse_untried(
        manifest,
        struct,
        environment=settings.environment,
        allow_loopback=settings.allow_loopback_channels,
    )
    print(f"tried: {said}", file=sys.stderr)


async def _drain(opened: Registries, options: argparse.Namespace) -> None:
    is_drain = options.act == "drain"
    changed = await opened.accounts.drain(
        options.account, options.reason if is_drain else None, options.by or person()
    )
    was = "" if changed else " already"
    print(
        f"{options.account} is{was} {'drained' if is_drain else 'serving'}"
        + ("; workers know within seconds" if changed else "")
    )


async def _show(opened: Registries, account_id: str) -> None:
    account = await opened.accounts.account(account_id)
    head: dict[str, object] = {
        "id": account.id,
        "merchant": account.merchant_id,
        "channel": account.channel,
        "store": account.store_id,
    }
    head |= {
        "priority": account.priority,
        "enabled": account.enabled,
        "drained": account.drained_reason,
        "master_key": f"v{account.key_version}" if account.key_version is not None else None,
    }
    problem = {"problem": account.problem} if account.problem else {}
    print(
        json.dumps(
            head | problem | {"credentials": account.credentials}, ensure_ascii=False, indent=2
        )
    )


async def _list(opened: Registries, options: argparse.Namespace) -> None:
    accounts = await opened.accounts.accounts(options.merchant)
    rows = [
        (
            each.id,
            each.merchant_id,
            each.channel,
            each.store_id,
            each.priority,
            each.enabled,
            each.problem or each.drained_state,
        )
        for each in accounts
    ]
    head = ("id", "merchant", "channel", "store", "priority", "enabled", "state")
    show_table(
        head,
        rows,
        nothing="no accounts yet: `tillgate account create MERCHANT_ID CHANNEL --credentials FILE`",
        as_json=options.json,
    )


def _credentials(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(
            f"the credentials file {path} cannot be read: {error.strerror}"
        ) from error
