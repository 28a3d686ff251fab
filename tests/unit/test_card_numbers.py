"""Card numbers and payment codes in texts are refused; what tills number by date is not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest
from msgspec.structs import replace

from adapters.discovery import discover
from gateway.domain.card_numbers import digit_runs, is_card_number
from gateway.domain.errors import LooksLikeACard
from gateway.flow.commands import OverrideCommand, RefundCommand
from gateway.flow.free_texts import refuse_card_numbers, texts_of_payment, texts_of_refund
from security.secret import Secret
from tests.unit.test_fields import COMMAND

MANIFESTS = discover()
CARD = "4111111111111111"
OVERRIDE = OverrideCommand(payment_id="p", supervisor_id="s", pin=Secret("482913"), reason="")


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        (CARD, True),
        ("4111111111111112", False),  # fails the Luhn check
        ("4111 1111 1111 1111", True),
        ("4111-1111-1111-1111", True),
        ("3782 822463 10005", True),
        ("378282246310005", True),
        ("5555555555554444", True),
        ("6200000000000005", True),
        ("2223003122003222", True),
        ("card:4111111111111111.", True),
        ("x4111111111111111y", True),
        ("41111111111111112", False),  # a longer run, which fails
        ("0" * 30 + CARD, False),
        ("20261128000000000", False),  # by date
        ("1764325800000", False),  # by the clock
        ("T08-0042", False),
        ("280000000000000000", True),  # Alipay's payment code
        ("130000000000000000", True),  # WeChat's
        ("013800138000", False),  # a telephone number
        ("pay_01a222c8409cd46460108325111b110e", False),  # by chance: an id of ours, as it was
        ("pay_01a222c8409cd46460108325111b110e-P1", False),
        ("4c4111111111111111aabbcc", False),
        ("0f3a5c21-4111-4111-8111-111117a0b0c0", False),  # a UUID whose groups pass
        ("0F3A5C21-4111-4111-8111-111117A0B0C0", False),
        ("c4111111111111111c", True),  # too short for an id
        ("4111111111111111gaabbccdd", True),  # not hexadecimal
        ("pay_01a222c8409cd46460108325111b110e 4111111111111111", True),
        ("280000000000000000000000", True),  # a payment code as long as an id
        ("", False),
    ],
)
def test_what_looks_like_a_card(text: str, is_refused: bool) -> None:
    if not is_refused:
        refuse_card_numbers([("note", text)], MANIFESTS)
        return
    with pytest.raises(LooksLikeACard) as refused:
        refuse_card_numbers([("note", text)], MANIFESTS)
    assert refused.value.field == "note"
    assert text not in str(refused.value)


@pytest.mark.parametrize("shown", [str, lambda made: made.hex], ids=["in groups", "whole"])
def test_a_uuid_is_never_a_card(shown: Callable[[UUID], str]) -> None:
    """Of so many some have a card's digits by chance."""
    drawn = Random(7)
    ids = [shown(UUID(int=drawn.getrandbits(128), version=4)) for _ in range(40_000)]
    refuse_card_numbers((("refund_no", each) for each in ids), MANIFESTS)


def test_a_digit_changed_is_no_card() -> None:
    assert is_card_number(CARD)
    for place in range(1, len(CARD)):
        other = str((int(CARD[place]) + 1) % 10)
        assert not is_card_number(CARD[:place] + other + CARD[place + 1 :])


def test_groups_are_one_run() -> None:
    assert digit_runs("4111 1111 1111 1111") == [CARD]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("order_no", {"order_no": CARD}),
        ("description", {"description": CARD}),
        ("operator_id", {"operator_id": CARD}),
        ("metadata", {"metadata": {"a": CARD}}),
        ("metadata", {"metadata": {CARD: "a"}}),
        (
            "override.reason",
            {"override": replace(OVERRIDE, reason=CARD)},
        ),
    ],
)
def test_every_free_text_of_a_payment(field: str, change: dict[str, object]) -> None:
    refuse_card_numbers(texts_of_payment(COMMAND), MANIFESTS)
    with pytest.raises(LooksLikeACard) as refused:
        refuse_card_numbers(texts_of_payment(replace(COMMAND, **change)), MANIFESTS)
    assert refused.value.field == field


@pytest.mark.parametrize("field", ["refund_no", "reason", "operator_id"])
def test_every_free_text_of_a_refund(field: str) -> None:
    command = RefundCommand(refund_no="R1", amount=1, reason="cold", operator_id=None)
    refuse_card_numbers(texts_of_refund(command), MANIFESTS)
    with pytest.raises(LooksLikeACard) as refused:
        refuse_card_numbers(texts_of_refund(replace(command, **{field: CARD})), MANIFESTS)
    assert refused.value.field == field
