"""One operation of `/openapi.json` under schemathesis.

A file of its own, imported by the test that needs it: schemathesis takes a second to import, and
every process of a run collects every test file.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import hypothesis
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

from security.secret import Secret
from security.till_signature import authorization_header
from tests.adversity.house import SCALE
from tests.world import STORE, Shop

EXAMPLES = 10 * SCALE
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REFERRING = ("flow", "auth_code", "expires_in", "cash", "notify_url", "override", "order_amount")
LISTS = {"GET /v1/payments", "GET /v1/refunds"}

# Answers by operation and status; those of a till that may see nothing are not counted.
seen: Counter[tuple[str, int]] = Counter()


def fuzz(
    target: Shop,
    signer: tuple[str, Secret],
    ids: dict[str, list[str]],
    label: str,
    way: str,
    seed: int,
    *,
    hidden: bool = False,
) -> None:
    """`way`: "positive" or "negative". `hidden`: no answer may name an object of `ids`, but for
    the channel accounts, which serve every store.

    In a thread: schemathesis waits where the gateway's loop must run.
    """
    mode = GenerationMode(way)
    theirs = [each for name, known in ids.items() if name != "channel_account" for each in known]
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
        if not hidden:
            seen[label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if hidden:
            assert [each for each in theirs if each in response.text] == []

    answers()


def payable(body: Any) -> Any:
    """What was drawn, as cash at a store there is, without what refers to anything else: a chance
    that money moves.
    """
    kept = {name: value for name, value in body.items() if name not in REFERRING}
    return kept | {"method": "cash", "store_id": STORE}


def waits(case: schemathesis.Case) -> None:
    """A long poll that is asked for is given, and nobody here has the time."""
    if case.query and "wait" in case.query and str(case.query["wait"]).isdigit():
        case.query["wait"] = 0


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
