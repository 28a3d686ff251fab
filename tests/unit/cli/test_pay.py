"""`tillgate pay`: what its options make of a request."""

import argparse

import pytest

from gateway.cli.commands import pay

CASH = {"method": "cash", "cash": {"tendered": 1000}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["900", "--cash", "1000"], {"order_no": "B1", "tender_no": 1, "amount": 900, **CASH}),
        (
            ["900", "--cash", "1000", "--tender", "2", "--order-amount", "5000"],
            {"order_no": "B1", "tender_no": 2, "amount": 900, "order_amount": 5000, **CASH},
        ),
        (
            [
                "900",
                "--cash",
                "1000",
                "--tender",
                "2",
                "--override",
                "pay_1",
                "ann",
                "the queue is long",
            ],
            {
                "order_no": "B1",
                "tender_no": 2,
                "amount": 900,
                "override": {
                    "payment_id": "pay_1",
                    "supervisor": {"id": "ann", "pin": "482913"},
                    "reason": "the queue is long",
                },
                **CASH,
            },
        ),
    ],
)
def test_the_body_it_sends(
    words: list[str], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pay, "getpass", lambda prompt: "482913")
    parser = argparse.ArgumentParser()
    pay.add_arguments(parser)
    sent = pay._payment(parser.parse_args([*words, "--order", "B1"]))
    assert sent.pop("currency", "CNY") == "CNY"
    assert sent == expected
