import re

import pytest

from security.key_material import KeyEnvironment, KeyKind, new_key_id, new_secret
from security.redaction import Redaction
from security.till_signature import authorization_header, parse_authorization

REDACTION = Redaction(())


@pytest.mark.parametrize(
    ("kind", "form"),
    [(KeyKind.TERMINAL, r"tk_[A-Z2-7]{26}"), (KeyKind.MERCHANT, r"mk_[A-Z2-7]{26}")],
)
def test_key_id(kind, form):
    made = {new_key_id(kind) for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(form, each) and REDACTION.text(each) == each for each in made)


@pytest.mark.parametrize(
    ("environment", "prefix"),
    [(KeyEnvironment.LIVE, "sk_live_"), (KeyEnvironment.TEST, "sk_test_")],
)
def test_secret(environment, prefix):
    made = {new_secret(environment).reveal() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(prefix + "[a-z2-7]{52}", each) for each in made)
    assert {REDACTION.text(f"it was {each} then") for each in made} == {f"it was {prefix}*** then"}


def test_a_new_key_signs():
    key_id = new_key_id(KeyKind.TERMINAL)
    header = authorization_header(
        key_id,
        new_secret(KeyEnvironment.TEST),
        method="GET",
        path_qs="/",
        ts=1795219200,
        idempotency_key=None,
        body=b"",
    )
    assert parse_authorization(header).key_id == key_id
