"""What a request asks for, once every field of it was judged: which store is paid, over which
channel, and how the customer presents it.

Raises a 422 that names the field to blame; nothing was written yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from adapters.channel import LocalManifest, Manifest, RemoteManifest, detect
from gateway.domain.errors import AmountInvalid, AuthCodeUnrecognized, FieldInvalid, FieldMissing
from gateway.domain.money import yuan
from gateway.domain.presenting import CashGiven, MethodOnly, PaymentCode, Presented
from gateway.domain.tender import Tender
from gateway.flow.commands import Caller, PayCommand
from gateway.flow.free_texts import refuse_card_numbers, texts_of_payment
from gateway.flow.ports import Directory

AUTO = "auto"


class RemoteWish(Struct, frozen=True, kw_only=True):
    """A tender for a channel that is asked over a network, and what goes there with it."""

    tender: Tender
    presented: Presented


class LocalWish(Struct, frozen=True, kw_only=True):
    """A tender for our own books. `tendered` in fen, None: exact."""

    tender: Tender
    tendered: int | None


Wish: TypeAlias = RemoteWish | LocalWish


def wish(command: PayCommand, caller: Caller, directory: Directory) -> Wish:
    """What `caller` asks for."""
    refuse_card_numbers(texts_of_payment(command), directory.manifests())
    store_id = _store(command, caller, directory)
    manifest = _manifest(command, directory.manifests())
    if command.given.flow not in manifest.flows:
        raise FieldInvalid(
            f"{manifest.channel} has no flow {command.given.flow}",
            zh=f"{manifest.title_zh}不支持 {command.given.flow} 方式",
            field="flow",
        )
    if command.amount > manifest.amount_max:
        raise AmountInvalid(
            f"{manifest.channel} takes at most {yuan(manifest.amount_max)}",
            zh=f"{manifest.title_zh}单笔最多收款 {yuan(manifest.amount_max)} 元",
            field="amount",
        )
    tender = Tender(
        merchant_id=caller.merchant_id,
        store_id=store_id,
        order_no=command.order_no,
        tender_no=command.tender_no,
        amount=command.amount,
        currency=command.currency,
        channel=manifest.channel,
        flow=command.given.flow,
        numbering=directory.numbering(),
    )
    match manifest:
        case RemoteManifest():
            return RemoteWish(tender=tender, presented=_presented(command, manifest))
        case LocalManifest():
            return LocalWish(tender=tender, tendered=_tendered(command))


def _store(command: PayCommand, caller: Caller, directory: Directory) -> str:
    """A terminal's store comes from its key; a merchant key must say which."""
    if caller.store_id is not None:
        if command.store_id not in (None, caller.store_id):
            raise FieldInvalid(
                "a terminal pays for its own store only",
                zh="终端只能为本门店收款",
                field="store_id",
            )
        return caller.store_id
    if command.store_id is None:
        raise FieldMissing(
            "a merchant key must say which store is paid",
            zh="商户密钥须指明收款门店",
            field="store_id",
        )
    if not directory.store_exists(caller.merchant_id, command.store_id):
        raise FieldInvalid("there is no such store", zh="没有该门店", field="store_id")
    return command.store_id


def _manifest(command: PayCommand, manifests: Mapping[str, Manifest]) -> Manifest:
    if command.method != AUTO:
        manifest = manifests.get(command.method)
        if manifest is None:
            names = ", ".join(["auto", *sorted(manifests)])
            raise FieldInvalid(f"methods here: {names}", zh=f"可用方式：{names}", field="method")
        return manifest
    if not isinstance(command.given, PaymentCode):
        raise FieldMissing(
            "scan the customer's payment code, or say the method",
            zh="请扫描顾客的付款码，或指明付款方式",
            field="method",
        )
    channel = detect(command.given.auth_code.reveal(), manifests)
    if channel is None:
        raise AuthCodeUnrecognized(field="auth_code")
    return manifests[channel]


def _presented(command: PayCommand, manifest: RemoteManifest) -> Presented:
    match command.given:
        case PaymentCode(auth_code=auth_code) as code:
            if not manifest.issues(auth_code.reveal()):
                raise AuthCodeUnrecognized(
                    f"this is not a payment code of {manifest.channel}: scan again",
                    zh=f"这不是{manifest.title_zh}的付款码，请重新扫码",
                    field="auth_code",
                )
            return code
        case CashGiven():
            raise FieldInvalid(
                "cash is tendered with method cash", zh="现金须使用付款方式 cash", field="cash"
            )
        case MethodOnly():
            raise FieldMissing(
                "scan the customer's payment code", zh="请扫描顾客的付款码", field="auth_code"
            )
        case presented:
            return presented


def _tendered(command: PayCommand) -> int | None:
    match command.given:
        case CashGiven(tendered=tendered):
            if tendered < command.amount:
                raise FieldInvalid(
                    "the cash given is less than the amount",
                    zh="实收金额不足",
                    field="cash.tendered",
                )
            return tendered
        case MethodOnly():
            return None
        case _:
            raise FieldInvalid(
                "this way to pay takes no payment code",
                zh="该付款方式不用付款码",
                field="auth_code",
            )
