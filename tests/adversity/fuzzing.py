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

EXAMPLES = 20 * SCALE
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# Answers by operation and status.
seen: Counter[tuple[str, int]] = Counter()


def fuzz(target: Shop, ids: dict[str, list[str]], label: str, way: str, seed: int) -> None:
    """`way`: "positive" or "negative".

    In a thread: schemathesis waits where the gateway's loop must run.
    """
    mode = GenerationMode(way)
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
        if (
            label == "POST /v1/payments"
            and mode is GenerationMode.POSITIVE
            and data.draw(st.booleans())
        ):
            case.body = payable(case.body)
        response = case.call(
            base_url=target.base_url, auth=Signed(*target.books.merchant), timeout=20
        )
        seen[label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

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
