"""The documents say what the code does: OpenAPI is valid and whole, the page shows it,
docs/errors.md has not drifted.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from gateway.domain.change import EVENT_TYPES
from gateway.domain.errors import GatewayError, leaves
from gateway.domain.outcomes import FailureCode
from gateway.domain.resources import PaymentResource
from gateway.domain.states import ATTEMPT_STATES
from gateway.domain.verdicts import VERDICTS
from gateway.http.docs_page import page
from gateway.http.field_texts import TEXTS
from gateway.http.openapi import document, encoded
from gateway.http.openapi_examples import VECTOR
from gateway.http.routes import OPEN_ROUTES, ROUTES
from security.secret import Secret
from security.till_signature import sign
from security.webhook_signature import ID, SIGNATURE, TIMESTAMP
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


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = re.findall(r'"#/components/(schemas|examples)/([\w.]+)"', json.dumps(DOCUMENT))
    for kind, unused in (("schemas", set()), ("examples", {"method_not_allowed"})):
        used = {name for at, name in found if at == kind}
        assert DOCUMENT["components"][kind].keys() - used == unused
        assert used <= DOCUMENT["components"][kind].keys()


def test_refused_fields_are_not_documented() -> None:
    schema = DOCUMENT["components"]["schemas"]["PayBody"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["order_no", "amount", "currency"]
    assert not {"card", "member"} & schema["properties"].keys()


def walked(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document."""
    if isinstance(value, list):
        for each in value:
            yield from walked(each)
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walked(each)


SCHEMAS = DOCUMENT["components"]["schemas"]
FIELDS = [
    (name, field, schema)
    for name, each in SCHEMAS.items()
    for field, schema in each["properties"].items()
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_field_says_what_it_is_in_both_languages(route: Any) -> None:
    told = [(f"{name}.{field}", schema) for name, field, schema in FIELDS]
    told += [
        (f"{route.path} {each['name']}", each)
        for each in DOCUMENT["paths"][route.path][route.method.lower()]["parameters"]
        if each["in"] == "query"
    ]
    assert [name for name, each in told if not each["description"]] == []
    assert [
        name for name, each in told if not re.search(r"[一-鿿]", each["x-description-zh"])
    ] == []


def test_every_text_is_about_a_field_that_exists() -> None:
    queries = {
        (route.query.__name__, each["name"])
        for route in ROUTES
        if route.query
        for each in DOCUMENT["paths"][route.path][route.method.lower()]["parameters"]
    }
    pairs = {(name, field) for name, field, _ in FIELDS} | queries
    known = {f"{name}.{field}" for name, field in pairs} | {field for _, field in pairs}
    assert [name for name in TEXTS if name not in known] == []


def test_the_words_a_till_branches_on_are_listed() -> None:
    def words(struct: str, field: str) -> list[str]:
        listed: list[str] = SCHEMAS[struct]["properties"][field]["enum"]
        return listed

    assert set(words("Verdict", "code")) == set(VERDICTS)
    assert set(words("FailureResource", "code")) == set(FailureCode)
    assert set(words("EventResource", "type")) == EVENT_TYPES
    assert set(words("AttemptResource", "status")) == set(ATTEMPT_STATES)


def test_generators_are_given_nothing_that_they_stumble_over() -> None:
    """A default makes a field an obligation, a choice with null a wrapper, an integer without its
    size 32 bits, and a named enum constants that collide.
    """
    for each in walked([SCHEMAS, DOCUMENT["paths"]]):
        assert each.get("type") != "integer" or each.get("format") in {"int32", "int64"}
        assert "enum" not in each or "type" in each
        choices = each.get("anyOf", [{"$ref": ""}])
        assert "$ref" in choices[0], each
    assert [(n, f) for n, f, schema in FIELDS if "default" in schema] == []
    assert [name for name, schema in SCHEMAS.items() if "enum" in schema] == []
    requests = [name for name in SCHEMAS if name.endswith("Body")]
    assert "null" not in json.dumps([SCHEMAS[name]["properties"] for name in requests]).replace(
        " null", ""
    )


def test_answers_list_every_field_and_let_others_come() -> None:
    assert set(SCHEMAS["PaymentResource"]["required"]) == set(PaymentResource.__struct_fields__)
    assert SCHEMAS["NextAction"]["required"] == ["type", "after_ms"]
    assert SCHEMAS["EventData"]["required"] == []
    for name, schema in SCHEMAS.items():
        assert schema["additionalProperties"] is not name.endswith("Body")
    times = [schema for _, field, schema in FIELDS if field.endswith("_at")]
    assert {each["format"] for each in times} == {"date-time"}


@pytest.mark.parametrize("name", DOCUMENT["components"]["examples"])
def test_every_example_is_what_its_schema_says(name: str) -> None:
    struct = name.partition(".")[0] if "." in name else "Problem"
    schema = {**SCHEMAS[struct], "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(schema).validate(
        DOCUMENT["components"]["examples"][name]["value"]
    )


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.code)
def test_every_refusal_is_told_at_some_route(error: type[GatewayError]) -> None:
    told = [
        answer["description"]
        for each in walked(DOCUMENT["paths"])
        for answer in each.get("responses", {}).values()
    ]
    everywhere = error.code == "method_not_allowed"  # no route has a method that it does not take
    assert everywhere or any(f"`{error.code}`" in each for each in told)


def test_the_webhook_is_told_with_its_signature() -> None:
    receive = DOCUMENT["webhooks"]["event"]["post"]
    assert [each["name"] for each in receive["parameters"]] == [ID, TIMESTAMP, SIGNATURE]
    body = receive["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/EventResource"}


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
    assert set(re.findall(r"href='#([^']+)'", text)) <= set(re.findall(r"id='?([\w.-]+)'?", text))


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
