"""schemathesis against the running gateway's own /openapi.json, every request rightly signed: no
crash, and every answer as documented.

PROOF_SCALE multiplies the examples.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.clock import SystemIds
from gateway.http.routes import OPEN_ROUTES, ROUTES
from gateway.storage.connections import read_pool
from gateway.storage.registries.people import Registry
from loadtests.audit import audit
from security.key_material import KeyEnvironment
from security.keyring import MasterKeys
from security.secret import Secret
from security.till_signature import authorization_header
from security.vault import Vault
from tests.adversity.house import SCALE, code, until
from tests.sandbox_process import SandboxProcess
from tests.servers import DatabaseServer
from tests.world import MASTER, STORE, Shop, shop

EXAMPLES = 20 * SCALE
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FUZZED = [
    (f"{route.method} {route.path}", mode)
    for route in (*ROUTES, *OPEN_ROUTES)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # What takes nothing cannot be asked wrongly.
    if mode is GenerationMode.POSITIVE or "/v1/" in route.path or "{" in route.path
]
LISTS = {"GET /v1/payments", "GET /v1/refunds"}
FUZZED_ELSEWHERE = [f"{route.method} {route.path}" for route in ROUTES]


seen: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
async def target(postgres: DatabaseServer, sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    dsn = await postgres.fresh_database()
    async with shop(dsn, sandbox=sandbox) as opened:
        yield opened
    await postgres.drop(dsn)


@pytest.fixture(scope="module")
async def ids(target: Shop) -> dict[str, list[str]]:
    """Objects that exist, so that not every id that is drawn leads to a 404."""
    paid = [
        (await target.pay(9_000, method="cash")).document,
        (await target.pay(9_000, auth_code=code("alipay"))).document,
    ]
    failed = (await target.pay(9_000, auth_code=code("alipay", "01"))).document
    refund = (
        await target.till.refund(
            paid[0]["id"], {"refund_no": "fuzz-1", "amount": 1, "reason": ""}, "fuzz-1"
        )
    ).document
    accounts = [account for name, account in target.books.accounts.items() if name != "cash"]
    endpoint = (
        await target.office.call(
            "POST", "/v1/webhook-endpoints", {"url": "https://shop.example/"}, key="fuzz-1"
        )
    ).document
    return {
        "payment_id": [row["id"] for row in (*paid, failed)],
        "refund_id": [refund["id"]],
        "endpoint_id": [endpoint["id"]],
        "channel_account": accounts,
    }


@pytest.fixture(scope="module")
async def elsewhere(target: Shop) -> tuple[str, Secret]:
    """The key of a till in another store of the same merchant."""
    pool = await read_pool(target.books.dsn)
    try:
        registry = Registry(
            pool, vault=Vault(MasterKeys.from_text(MASTER, source="test")), ids=SystemIds()
        )
        merchant = target.books.merchant_id
        await registry.create_store(merchant, "Side street", "store_2")
        terminal = await registry.create_terminal(merchant, "store_2", "Till 2")
        issued = await registry.issue_terminal_key(merchant, terminal.id, KeyEnvironment.TEST)
    finally:
        await pool.close()
    await until(lambda: knows(target, issued.id))
    return issued.id, issued.secret


async def knows(target: Shop, key_id: str) -> bool:
    return target.world.directory.key(key_id) is not None


class Signed(requests.auth.AuthBase):
    """Signs what goes out, as it goes out."""

    def __init__(self, key_id: str, secret: Secret) -> None:
        self._key_id, self._secret = key_id, secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(str(request.url))
        body: Any = request.body or b""
        key = request.headers.get("Idempotency-Key")
        request.headers["Authorization"] = authorization_header(
            self._key_id,
            self._secret,
            method=str(request.method),
            path_qs=parts.path + (f"?{parts.query}" if parts.query else ""),
            ts=int(time.time()),
            idempotency_key=key.decode("latin-1") if isinstance(key, bytes) else key,
            body=body.encode() if isinstance(body, str) else body,
        )
        return request


@pytest.mark.parametrize(
    ("label", "mode"), FUZZED, ids=[f"{label} {mode.value}" for label, mode in FUZZED]
)
async def test_every_answer_is_a_documented_one(
    target: Shop, ids: dict[str, list[str]], label: str, mode: GenerationMode
):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    await asyncio.to_thread(fuzz, target, target.books.merchant, ids, label, mode, seed)


@pytest.mark.parametrize("label", FUZZED_ELSEWHERE)
async def test_a_till_of_another_store_gets_documented_answers_and_sees_nothing(
    target: Shop, ids: dict[str, list[str]], elsewhere: tuple[str, Secret], label: str
):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    await asyncio.to_thread(
        fuzz, target, elsewhere, ids, label, GenerationMode.POSITIVE, seed, hidden=True
    )


def fuzz(
    target: Shop,
    signer: tuple[str, Secret],
    ids: dict[str, list[str]],
    label: str,
    mode: GenerationMode,
    seed: int,
    *,
    hidden: bool = False,
) -> None:
    """In a thread: schemathesis waits where the gateway's loop must run.

    `hidden`: no answer may name an object of `ids`.
    """
    schema = schemathesis.openapi.from_url(f"{target.base_url}/openapi.json")
    operation = schema.find_operation_by_label(label)
    assert operation is not None, f"{label} is not in the document"

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def answers(case: schemathesis.Case, data: st.DataObject) -> None:
        for name, known in ids.items():
            if name in case.path_parameters:
                case.path_parameters[name] = data.draw(
                    st.sampled_from([*known, case.path_parameters[name]])
                )
        waits(case)
        if hidden and label in LISTS and data.draw(st.booleans()):
            case.query = {**(case.query or {}), "store_id": STORE}
        if (
            label == "POST /v1/payments"
            and mode is GenerationMode.POSITIVE
            and data.draw(st.booleans())
        ):
            case.body = payable(case.body)
        response = case.call(base_url=target.base_url, auth=Signed(*signer), timeout=20)
        case.validate_response(response, checks=CHECKS)
        if hidden:
            assert [each for known in ids.values() for each in known if each in response.text] == []
        else:
            seen[label, response.status_code] += 1

    answers()


def payable(body: Any) -> Any:
    """What was drawn, as cash at a store there is: a chance that money moves."""
    kept = {
        name: value
        for name, value in body.items()
        if name not in ("flow", "auth_code", "expires_in", "cash")
    }
    return kept | {"method": "cash", "store_id": STORE}


def waits(case: schemathesis.Case) -> None:
    """A long poll that is asked for is given, and nobody here has the time."""
    if case.query and "wait" in case.query and str(case.query["wait"]).isdigit():
        case.query["wait"] = 0


async def test_the_fuzzing_got_past_the_door():
    """A fuzz whose every request is refused for its signature proves nothing."""
    print(dict(seen))  # noqa: T201 - what was reached, with -s
    reached = {label: {status for (at, status) in seen if at == label} for label, _ in FUZZED}
    assert {label for label, statuses in reached.items() if not statuses - {400, 401}} == set()
    assert {200, 404, 422} <= {status for _, status in seen}
    assert seen["POST /v1/payments", 201]


async def test_and_the_books_agree(target: Shop, ids: dict[str, list[str]]):
    """Whatever was drawn was paid, refused or cancelled properly."""

    async def agree() -> bool:
        assert target.sandbox is not None
        violations: list[Any] = await audit(
            target.books.dsn, target.sandbox.control_url, at_rest=False
        )
        return len(violations) == 0

    await until(agree)
