"""A client that openapi-python-client makes from the running gateway's own document pays, asks,
lists and is refused; and the samples of the page pay as they stand.
"""

import asyncio
import importlib
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from gateway.http.docs_guide import SAMPLES, sample
from security.secret import Secret
from security.till_signature import authorization_header
from tests.wallet_codes import code
from tests.world import Shop, order_no, shop

PACKAGE = "made_of_the_document"


@pytest.fixture
async def counter(database, redis_url, sandbox):
    async with shop(database, redis_url=redis_url, sandbox=sandbox) as opened:
        yield opened


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the client out of a document; every one of its modules is dropped at the end."""

    def make(document: bytes) -> ModuleType:
        (tmp_path / "openapi.json").write_bytes(document)
        made = subprocess.run(
            [
                *(sys.executable, "-m", "openapi_python_client", "generate"),
                *("--path", str(tmp_path / "openapi.json"), "--meta", "none"),
                *("--output-path", str(tmp_path / PACKAGE)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        left_out = [line for line in made.stdout.splitlines() if "will not be generated" in line]
        assert [line for line in left_out if "/callbacks/" not in line] == []
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(PACKAGE)

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def signing(key_id: str, secret: Secret) -> Any:
    """What an integrator hangs into httpx."""

    def sign(request: httpx.Request) -> None:
        request.headers["Authorization"] = authorization_header(
            key_id,
            secret,
            method=request.method,
            path_qs=request.url.raw_path.decode(),
            ts=int(time.time()),
            idempotency_key=request.headers.get("Idempotency-Key"),
            body=request.content,
        )

    return {"event_hooks": {"request": [sign]}}


async def test_a_generated_client_pays(counter: Shop, generated: Any):
    async with httpx.AsyncClient(base_url=counter.base_url) as plain:
        document = (await plain.get("/openapi.json")).content
    made = await asyncio.to_thread(generated, document)
    await asyncio.to_thread(pays, made, counter)


def pays(made: ModuleType, counter: Shop) -> None:
    client = made.Client(
        base_url=counter.base_url, httpx_args=signing(*counter.books.terminal), timeout=30
    )
    models = importlib.import_module(f"{PACKAGE}.models")
    payments = importlib.import_module(f"{PACKAGE}.api.payments")
    create, read, listing = (
        importlib.import_module(f"{payments.__name__}.{name}")
        for name in ("create_payment", "read_payment", "list_payments")
    )
    cash = models.PayBody(
        order_no=order_no(),
        amount=5_000_000_000,
        currency=models.PayBodyCurrency.CNY,
        method="cash",
        cash=models.CashBody(tendered=6_000_000_000),
    )
    key = secrets.token_hex(8)
    first = create.sync_detailed(client=client, body=cash, idempotency_key=key)
    assert (first.status_code, first.headers["Location"]) == (
        201,
        f"/v1/payments/{first.parsed.id}",
    )
    assert (first.parsed.verdict.code, first.parsed.change) == ("paid", 1_000_000_000)
    again = create.sync_detailed(client=client, body=cash, idempotency_key=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.parsed == first.parsed
    scanned = models.PayBody(
        order_no=order_no(), amount=100, currency=cash.currency, auth_code=code("alipay")
    )
    paid = create.sync(client=client, body=scanned, idempotency_key=secrets.token_hex(8))
    assert (paid.verdict.code, paid.attempts[0].status) == ("paid", "succeeded")
    assert paid.paid_at.tzinfo is not None
    assert read.sync(paid.id, client=client) == paid
    succeeded = models.ListPaymentsStatus.SUCCEEDED
    found = listing.sync(client=client, status=succeeded, order_no=cash.order_no)
    assert [each.id for each in found.data] == [first.parsed.id]
    refused = read.sync_detailed("pay_none", client=client)
    assert (refused.status_code, refused.parsed.code) == (404, "not_found")


RUN = {"Python": [sys.executable, "-"], "Node.js": ["node", "--input-type=module"], "Shell": ["sh"]}


@pytest.mark.parametrize("language", SAMPLES)
async def test_the_sample_of_a_till_pays(counter: Shop, language: str):
    needed = {"Shell": ["sh", "openssl", "curl"], "Node.js": ["node"]}.get(language, [])
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed here")
    key_id, secret = counter.books.terminal
    process = await asyncio.create_subprocess_exec(
        *RUN[language],
        env={
            "PATH": "/usr/bin:/bin",
            "URL": counter.base_url,
            "KEY_ID": key_id,
            "SECRET": secret.reveal(),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(sample(SAMPLES[language][0]).encode())
    assert process.returncode == 0
    printed = out.decode()
    if language == "Shell":
        paid = json.loads(printed)
        assert (paid["verdict"]["code"], paid["change"]) == ("paid", 350)
    else:
        assert printed == "paid 收款成功 350\n"
