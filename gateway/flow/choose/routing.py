"""Which channel accounts may take the payment, in which order, and why: by the merchant's rules,
else by priority.

What their health makes of that order is `flow.choose.health`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from adapters.channel import Flow, Manifest, detect
from gateway.domain.errors import (
    AmountInvalid,
    AuthCodeUnrecognized,
    FieldInvalid,
    FieldMissing,
    MethodUnavailable,
)
from gateway.domain.routing_rules import RuleSet
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.ports import Account, Directory
from gateway.limits import WHY_CHARS_MAX

AUTO = "auto"
# The other half is for health, and for what ended the attempt before.
WHY_ORDER_CHARS_MAX = WHY_CHARS_MAX // 2


class Ask(Struct, frozen=True, kw_only=True):
    """What an account is chosen for: everything a rule may look at.

    `at` is aware; `order_no` draws where accounts share by weight.
    """

    merchant_id: str
    store_id: str
    channel: str
    flow: Flow
    amount: int
    at: datetime
    order_no: str = ""


class Choice(Struct, frozen=True, kw_only=True):
    """An account that can take it. `why` is stored with the attempt that it leads to."""

    account: Account
    why: str


class Route(Struct, frozen=True, kw_only=True):
    """The decision: the accounts in order, never empty.

    The first is tried; the others are its backups.
    """

    flow: Flow
    store_id: str
    choices: tuple[Choice, ...]

    @property
    def account(self) -> Account:
        """The best one."""
        return self.choices[0].account


def choose(command: PayCommand, caller: Caller, directory: Directory, now: datetime) -> Route:
    """Raises a 422 that names the field to blame; nothing was written yet."""
    store_id = _store(command, caller, directory)
    flow = _flow(command)
    manifest = _channel(command, flow, directory.manifests())
    _check(command, manifest, flow)
    ask = Ask(
        merchant_id=caller.merchant_id,
        store_id=store_id,
        channel=manifest.channel,
        flow=flow,
        amount=command.amount,
        at=now,
        order_no=command.order_no,
    )
    choices = rank(ask, directory)
    if not choices:
        raise MethodUnavailable(
            f"no enabled {manifest.channel} account serves this store", field="method"
        )
    return Route(flow=flow, store_id=store_id, choices=choices)


def rank(ask: Ask, directory: Directory) -> tuple[Choice, ...]:
    """The accounts that may take it, best first. Empty when none may."""
    return ranked(
        ask, directory.accounts(ask.merchant_id), directory.rules(ask.merchant_id, ask.store_id)
    )


def ranked(ask: Ask, accounts: Sequence[Account], rules: RuleSet | None) -> tuple[Choice, ...]:
    """As `rank`, over accounts in order of priority."""
    serving = [
        account
        for account in accounts
        if account.enabled
        and account.manifest.channel == ask.channel
        and account.store_id in (None, ask.store_id)
    ]
    able = {account.id: account for account in serving if account.drained is None}
    rule = rules.match(ask.channel, ask.flow, ask.amount, ask.at) if rules is not None else None
    if rules is None or rule is None:
        order, basis = list(able), "priority"
    else:
        named = rule.ordered(able, ask.order_no)
        order = (
            named if rule.only else [*named, *(account for account in able if account not in named)]
        )
        basis = f"rule {rule.name} of version {rules.version}"
    out = "".join(
        [
            f"; {account.id} is drained: {account.drained[:60]}"
            for account in serving
            if account.drained is not None
        ]
    )
    considered = f"{basis} of: {' '.join(order)}{out}"[:WHY_ORDER_CHARS_MAX]
    return tuple(
        [
            Choice(account=able[name], why=f"number {place} by {considered}")
            for place, name in enumerate(order, 1)
        ]
    )


def _store(command: PayCommand, caller: Caller, directory: Directory) -> str:
    """A terminal's store comes from its key; a merchant key must say which."""
    if caller.store_id is not None:
        if command.store_id not in (None, caller.store_id):
            raise FieldInvalid("a terminal pays for its own store only", field="store_id")
        return caller.store_id
    if command.store_id is None:
        raise FieldMissing("a merchant key must say which store is paid", field="store_id")
    if not directory.store_exists(caller.merchant_id, command.store_id):
        raise FieldInvalid("there is no such store", field="store_id")
    return command.store_id


def _flow(command: PayCommand) -> Flow:
    if command.flow is not None:
        return command.flow
    return Flow.CODE if command.auth_code is not None or command.method != AUTO else Flow.QR


def _channel(command: PayCommand, flow: Flow, manifests: Mapping[str, Manifest]) -> Manifest:
    if command.method == AUTO:
        if command.auth_code is None:
            raise FieldMissing(
                "scan the customer's payment code, or say the method",
                field="auth_code" if flow is Flow.CODE else "method",
            )
        channel = detect(command.auth_code.reveal(), manifests)
        if channel is None:
            raise AuthCodeUnrecognized(field="auth_code")
        return manifests[channel]
    manifest = manifests.get(command.method)
    if manifest is None:
        raise FieldInvalid(f"methods here: auto, {', '.join(sorted(manifests))}", field="method")
    return manifest


def _check(command: PayCommand, manifest: Manifest, flow: Flow) -> None:
    if flow not in manifest.flows:
        raise FieldInvalid(f"{manifest.channel} has no flow {flow}", field="flow")
    scans = bool(manifest.auth_codes) and flow is Flow.CODE
    if scans and command.auth_code is None:
        raise FieldMissing("scan the customer's payment code", field="auth_code")
    if command.auth_code is not None:
        if not scans:
            raise FieldInvalid("this way to pay takes no payment code", field="auth_code")
        if not manifest.issues(command.auth_code.reveal()):
            raise AuthCodeUnrecognized(
                f"this is not a payment code of {manifest.channel}: scan again", field="auth_code"
            )
    if command.expires_in_s is not None and flow is not Flow.QR:
        raise FieldInvalid("only a code on display expires", field="expires_in")
    if command.tendered is not None and manifest.settles != "local":
        raise FieldInvalid("cash is tendered with method cash", field="cash")
    if command.tendered is not None and command.tendered < command.amount:
        raise FieldInvalid("the cash given is less than the amount", field="cash.tendered")
    if command.amount > manifest.amount_max:
        raise AmountInvalid(
            f"{manifest.channel} takes at most {manifest.amount_max} fen", field="amount"
        )
