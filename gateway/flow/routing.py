"""Which channel account takes the payment, and why. Ordered by priority; the first account that can take it is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from adapters.channel import Flow, Manifest, detect
from gateway.domain.errors import AmountInvalid, AuthCodeUnrecognized, FieldInvalid, FieldMissing, MethodUnavailable
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.ports import Account, Directory

AUTO = "auto"


class Route(Struct, frozen=True, kw_only=True):
    """The decision. `why` is stored with the attempt."""

    account: Account
    flow: Flow
    store_id: str
    why: str


def choose(command: PayCommand, caller: Caller, directory: Directory) -> Route:
    """Raises a 422 that names the field to blame; nothing was written yet."""
    store_id = _store(command, caller, directory)
    flow = _flow(command)
    manifest = _channel(command, flow, directory.manifests())
    _check(command, manifest, flow)
    able = [
        account
        for account in directory.accounts(caller.merchant_id)
        if account.enabled and account.manifest.channel == manifest.channel and account.store_id in (None, store_id)
    ]
    if not able:
        raise MethodUnavailable(f"no enabled {manifest.channel} account serves this store", field="method")
    order = " ".join(account.id for account in able)
    return Route(account=able[0], flow=flow, store_id=store_id, why=f"first by priority of: {order}")


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
        return Flow(command.flow)
    return Flow.CODE if command.auth_code is not None or command.method != AUTO else Flow.QR


def _channel(command: PayCommand, flow: Flow, manifests: Mapping[str, Manifest]) -> Manifest:
    if command.method == AUTO:
        if command.auth_code is None:
            raise FieldMissing("scan the customer's payment code, or say the method", field="auth_code" if flow is Flow.CODE else "method")
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
            raise AuthCodeUnrecognized(f"this is not a payment code of {manifest.channel}: scan again", field="auth_code")
    if command.expires_in_s is not None and flow is not Flow.QR:
        raise FieldInvalid("only a code on display expires", field="expires_in")
    if command.tendered is not None and manifest.settles != "local":
        raise FieldInvalid("cash is tendered with method cash", field="cash")
    if command.tendered is not None and command.tendered < command.amount:
        raise FieldInvalid("the cash given is less than the amount", field="cash.tendered")
    if command.amount > manifest.amount_max:
        raise AmountInvalid(f"{manifest.channel} takes at most {manifest.amount_max} fen", field="amount")
