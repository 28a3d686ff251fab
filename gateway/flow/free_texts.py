"""No card number and no payment code in the texts that a caller is free to choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.channel import Manifest
from gateway.domain.card_numbers import digit_runs, is_card_number
from gateway.domain.errors import LooksLikeACard
from gateway.flow.commands import PayCommand, RefundCommand

Texts = Iterable[tuple[str, str | None]]


def texts_of_payment(command: PayCommand) -> Texts:
    """(field, text)."""
    yield "order_no", command.order_no
    yield "description", command.description
    yield "operator_id", command.operator_id
    for name, value in command.metadata.items():
        yield "metadata", name
        yield "metadata", value
    if command.override is not None:
        yield "override.supervisor_id", command.override.supervisor_id
        yield "override.reason", command.override.reason


def texts_of_refund(command: RefundCommand) -> Texts:
    """As of a payment."""
    yield "refund_no", command.refund_no
    yield "reason", command.reason
    yield "operator_id", command.operator_id


def refuse_card_numbers(texts: Texts, manifests: Mapping[str, Manifest]) -> None:
    """Raises `LooksLikeACard` that names the field and never quotes its text."""
    for field, text in texts:
        for run in digit_runs(text or ""):
            if is_card_number(run) or any(each.issues(run) for each in manifests.values()):
                raise LooksLikeACard(field=field)
