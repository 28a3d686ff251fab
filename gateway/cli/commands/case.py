"""`tillgate case`: what the gateway saw and will not decide by itself.

What a person has found out decides only when another person confirms it: the ordinary event is then
applied on the word of both.
"""

import argparse
import asyncio
import hmac
import json

from gateway.cli.case_desk import case_desk, open_case
from gateway.cli.client.caller import read_secret
from gateway.cli.failures import CommandError
from gateway.cli.registries import Registries, act, registries
from gateway.cli.surroundings import add_data_argument, add_json_argument, environment, person
from gateway.cli.table import show_table
from gateway.domain.audit import AskedBy
from gateway.domain.case import Finding
from gateway.domain.errors import NoSuchObject
from gateway.flow.case_closing import CaseStanding
from gateway.flow.ports import Directory
from gateway.settings import Settings, read_settings
from security.roles import Role

DECIDERS = frozenset({Role.MERCHANT.value, Role.FINANCE.value})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list, show, close, confirm, withdraw."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = acts.add_parser("list", help="open cases, newest first")
    listing.add_argument("--merchant", metavar="ID", help="of this merchant only")
    listing.add_argument("--all", action="store_true", help="closed ones too")
    add_json_argument(listing)
    show = acts.add_parser("show", help="one case with its evidence")
    close = acts.add_parser("close", help="close a case; with --as, propose what decides its money")
    close.add_argument(
        "--as",
        dest="finding",
        choices=[str(finding) for finding in Finding],
        help="what you found out about the money; another person has to confirm it",
    )
    confirm = acts.add_parser("confirm", help="as another person: what is proposed is applied")
    withdraw = acts.add_parser("withdraw", help="take back what is proposed; a refund goes on")
    for each in (show, close, confirm, withdraw):
        each.add_argument("case", metavar="CASE_ID")
    for each in (close, confirm):
        each.add_argument(
            "--reason", required=True, help="what you looked at, for those who read it next year"
        )
    for each in (close, confirm, withdraw):
        each.add_argument(
            "--key", metavar="ID", help="act by this merchant or finance key, not by your login"
        )
        each.add_argument("--secret-file", metavar="FILE", help="its secret, - for standard input")
    for each in (listing, show, close, confirm, withdraw):
        add_data_argument(each)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    match options.act:
        case "list":
            return act(options, lambda opened: _list(opened, options))
        case "show":
            return act(options, lambda opened: _show(opened, options))
        case _:
            asyncio.run(_decide(read_settings(environment(options.data)), options))
            return 0


async def _list(opened: Registries, options: argparse.Namespace) -> None:
    cases = await opened.cases.cases(options.merchant, closed_too=options.all)
    rows = [
        (
            case.id,
            case.kind,
            case.object_id,
            case.merchant_id,
            case.opened_at,
            f"{case.proposed_as} by {case.proposed_by}" if case.proposed_as else None,
            case.closed_by,
        )
        for case in cases
    ]
    head = ("id", "kind", "about", "merchant", "opened (UTC)", "proposed", "closed by")
    show_table(
        head,
        rows,
        nothing="no open cases" if not options.all else "no cases",
        as_json=options.json,
    )


async def _show(opened: Registries, options: argparse.Namespace) -> None:
    found = await opened.cases.case(options.case)
    if found is None:
        raise CommandError(
            f"there is no case {options.case}: `tillgate case list --all` shows what there is"
        )
    facts: dict[str, object] = {
        "id": found.id,
        "kind": found.kind,
        "about": found.object_id,
        "attempt": found.attempt_id,
        "refund": found.refund_id,
        "merchant": found.merchant_id,
        "opened_at": f"{found.opened_at:%Y-%m-%dT%H:%M:%SZ}",
        "evidence": found.evidence,
    }
    if found.proposed_at is not None:
        facts |= {
            "proposed_as": found.proposed_as,
            "proposed_by": found.proposed_by,
            "proposed_at": f"{found.proposed_at:%Y-%m-%dT%H:%M:%SZ}",
            "proposed_reason": found.proposed_reason,
            "confirmed_by": found.confirmed_by,
        }
    if found.closed_at is not None:
        facts |= {
            "closed_at": f"{found.closed_at:%Y-%m-%dT%H:%M:%SZ}",
            "closed_by": found.closed_by,
            "reason": found.reason,
        }
    print(json.dumps(facts, ensure_ascii=False, indent=2))


async def _decide(settings: Settings, options: argparse.Namespace) -> None:
    async with registries(settings) as opened:
        found = await opened.cases.case(options.case)
    if found is None or found.closed_at is not None:
        raise _no_open_case(options)
    async with case_desk(settings) as (closing, directory):
        case = open_case(found)
        by = _person(options, directory, found.merchant_id)
        try:
            match options.act:
                case "withdraw":
                    done, standing = "withdrawn", await closing.withdraw(case, by=by)
                case "confirm":
                    standing = await closing.confirm(case, by=by, reason=options.reason)
                    done = f"closed as {case.proposed_as}"
                case "close" if options.finding is None:
                    done = "closed"
                    standing = await closing.close(case, by=by, reason=options.reason)
                case _:
                    finding = Finding(options.finding)
                    standing = await closing.propose(case, finding, by=by, reason=options.reason)
                    done = f"{finding} is proposed by {by}; another person confirms it"
        except NoSuchObject as error:
            raise _no_open_case(options) from error
    print(_told(found.id, done, standing))


def _person(options: argparse.Namespace, directory: Directory, merchant_id: str) -> AskedBy:
    """The login, or the key whose secret is known here: no name that is only typed."""
    if options.key is None and options.secret_file is None:
        return AskedBy("person", person())
    if options.key is None or options.secret_file is None:
        raise CommandError("--key and --secret-file belong together")
    key = directory.key(options.key)
    secret = read_secret(options.secret_file)
    if (
        key is None
        or key.revoked
        or key.merchant_id != merchant_id
        or key.role not in DECIDERS
        or not hmac.compare_digest(key.secret.reveal().encode(), secret.reveal().encode())
    ):
        raise CommandError(
            f"{options.key} is no live merchant or finance key of {merchant_id} with this secret"
        )
    return AskedBy("key", key.id)


def _told(case_id: str, done: str, standing: CaseStanding) -> str:
    words = [f"{case_id}: {done}"]
    if standing.payment is not None:
        words.append(f"payment {standing.payment.id} is {standing.payment.status}")
    if standing.refund is not None:
        words.append(f"refund {standing.refund.id} is {standing.refund.status}")
    return "; ".join(words)


def _no_open_case(options: argparse.Namespace) -> CommandError:
    return CommandError(
        f"there is no open case {options.case}: `tillgate case list` shows what there is"
    )
