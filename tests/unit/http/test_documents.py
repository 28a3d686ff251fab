"""The documents say what the code does: OpenAPI is valid and whole, the page shows it,
docs/errors.md has not drifted.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

from gateway.domain.errors import leaves
from gateway.http.docs_page import page
from gateway.http.openapi import VECTOR, document, encoded
from gateway.http.routes import OPEN_ROUTES, ROUTES
from security.secret import Secret
from security.till_signature import sign
from tests.tidy.errors_page import errors_page
from tests.unit.http.conftest import Till

DOCUMENT: dict[str, Any] = json.loads(encoded(document(ROUTES, OPEN_ROUTES)))
ALL_ROUTES = [*ROUTES, *OPEN_ROUTES]
ERRORS_PAGE = Path(__file__).parents[3] / "docs/errors.md"


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_the_document_has_every_route_and_no_other() -> None:
    told = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert told == {(route.method, route.path) for route in ALL_ROUTES}


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_signed_route_is_told_whole(route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    names = {(each["in"], each["name"]) for each in operation["parameters"]}
    assert names >= {("path", name) for name in re.findall(r"\{(\w+)\}", route.path)}
    assert (("header", "Idempotency-Key") in names) == route.needs_idempotency_key
    assert (("header", "Prefer") in names) == route.waits
    assert {"400", "401", "403", "500", "503"} <= operation["responses"].keys()
    for error in route.errors:
        assert f"`{error.code}`" in operation["responses"][str(error.http_status)]["description"]
    assert ("requestBody" in operation) == (route.body is not None)
    assert "security" not in operation


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert references <= DOCUMENT["components"]["schemas"].keys()


def test_refused_fields_are_not_documented() -> None:
    schema = DOCUMENT["components"]["schemas"]["PayBody"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["order_no", "amount", "currency"]
    assert not {"card", "member"} & schema["properties"].keys()


def test_patterns_mean_the_same_in_json_schema() -> None:
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(DOCUMENT))
    assert patterns
    assert not [pattern for pattern in patterns if "(?" in pattern]


def test_the_page_shows_every_route_schema_and_error() -> None:
    text = page(DOCUMENT)
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert f"id='{operation['operationId']}'" in text
    for name in DOCUMENT["components"]["schemas"]:
        assert f"id='schema-{name}'" in text
    for leaf in leaves():
        assert f"id='{leaf.code}'" in text
    for route in ALL_ROUTES:
        assert f"<code>{route.path}</code>" in text
        assert route.title_zh in text


def test_links_within_the_page_lead_somewhere() -> None:
    text = page(DOCUMENT)
    assert set(re.findall(r"href='#([^']+)'", text)) <= set(re.findall(r"id='?([\w-]+)'?", text))


def test_the_page_teaches_the_vector_that_the_code_computes() -> None:
    sig = sign(
        Secret(VECTOR["secret"]),
        method=VECTOR["method"],
        path_qs=VECTOR["path"],
        ts=int(VECTOR["ts"]),
        idempotency_key=VECTOR["idempotency_key"],
        body=VECTOR["body"].encode(),
    )
    assert sig == VECTOR["sig"]
    assert VECTOR["sig"] in page(DOCUMENT)


async def test_the_documents_are_served_and_load_nothing(till: Till) -> None:
    assert (await till.plain("GET", "/openapi.json")).json() == DOCUMENT
    reply = await till.plain("GET", "/docs")
    text = reply.body.decode()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"style-src 'sha256-{digest}'" in reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert not re.findall(
        r"<script|<img|<link|<iframe|\ssrc=|style=|@import|url\(|=\s*['\"]?https?://", text
    )


def test_the_page_of_errors_has_not_drifted() -> None:
    assert ERRORS_PAGE.read_text() == errors_page(), (
        "run: python -m tests.tidy.errors_page > docs/errors.md"
    )
