"""A channel's JSON: what is read in spite of its form, and what is refused."""

from typing import Any

import msgspec
import pytest

from adapters.documents import read


class Inner(msgspec.Struct, kw_only=True, frozen=True):
    total: int | None = None
    currency: str = "CNY"


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    code: str
    word: str = ""
    amount: str | int = ""
    inner: Inner | None = None
    several: list[Inner] = []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"code":"1","word":"x"}', Answer(code="1", word="x")),
        ('{"code":"1","unheard":{"of":null}}', Answer(code="1")),
        ('{"code":"1","word":null}', Answer(code="1")),
        (
            '{"code":"1","inner":{"total":null,"currency":null}}',
            Answer(code="1", inner=Inner()),
        ),
        ('{"code":"1","inner":null}', Answer(code="1")),
        ('{"code":"1","several":[null,{"currency":null}]}', Answer(code="1", several=[Inner()])),
        ('{"code":"1","word":null,"amount":88.80}', Answer(code="1", amount="88.80")),
        ('{"code":"1","amount":88.88}', Answer(code="1", amount="88.88")),
        ('{"code":"1","amount":88}', Answer(code="1", amount=88)),
        ('{"code":"1","amount":1e2}', Answer(code="1", amount="1e2")),
        ('{"code":null}', None),
        ("{}", None),
        ('{"code":1}', None),
        ('{"code":"1","inner":{"total":"1"}}', None),
        ('{"code":"1","inner":{"total":1.5}}', None),
        ("null", None),
        ("[]", None),
        ("", None),
        ("<html>", None),
        ('{"code":"\\ud83c"}', None),
        ("[" * 60_000, None),
        ('{"code":null,"word":' + "[" * 60_000, None),
    ],
)
def test_read(text: str, answer: Answer | None) -> None:
    assert _read(text) == answer


def _read(text: str) -> Any:
    try:
        return read(Answer, text.encode())
    except ValueError:
        return None
