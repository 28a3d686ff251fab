"""The OpenAPI document is one that linters of other houses accept: what a client generator, a mock
server or a page of documentation trips over is told here first.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import openapi_schema_validator
import openapi_spec_validator
import pytest

from gateway.http.openapi import document, encoded
from gateway.http.routes import OPEN_ROUTES, ROUTES

Json = dict[str, Any]

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
OPERATION_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
REFERENCE = re.compile(r"#/components/schemas/(\w+)")
EXAMPLES = "#/components/examples/"
DOCUMENT: Json = json.loads(encoded(document(ROUTES, OPEN_ROUTES)))


def lint(openapi: Json) -> list[str]:
    """What is wrong, each with its place."""
    return [
        *_operations(openapi),
        *_paths(openapi),
        *_references(openapi),
        *(problem for place, schema in _schemas(openapi) for problem in _schema(place, schema)),
        *_examples(openapi),
    ]


def operations(openapi: Json) -> Iterator[tuple[str, str, Json]]:
    """(method, path, operation)."""
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def _operations(openapi: Json) -> Iterator[str]:
    tags = {tag["name"] for tag in openapi.get("tags", ())}
    ids = Counter(operation.get("operationId") for _, _, operation in operations(openapi))
    for method, path, operation in operations(openapi):
        place, name = f"{method} {path}", operation.get("operationId")
        if not name or not OPERATION_ID.fullmatch(name) or ids[name] > 1:
            yield f"{place}: operationId {name!r} is missing, no name, or used twice"
        if not operation.get("summary"):
            yield f"{place}: no summary"
        if not operation.get("tags") or not set(operation["tags"]) <= tags:
            yield f"{place}: tags {operation.get('tags')} are not those of the document"
        statuses = operation.get("responses", {}).keys()
        if not any(status.startswith("2") for status in statuses):
            yield f"{place}: no answer that is a success"
        for status, answer in operation.get("responses", {}).items():
            if not answer.get("description"):
                yield f"{place}: {status} has no description"


def _paths(openapi: Json) -> Iterator[str]:
    for path in openapi["paths"]:
        if path != "/" and (path.endswith("/") or "?" in path):
            yield f"{path}: ends with a slash, or has a query"
    for method, path, operation in operations(openapi):
        named = set(re.findall(r"\{(\w+)\}", path))
        told = {
            each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "path"
        }
        if named != told.keys() or not all(each.get("required") for each in told.values()):
            yield f"{method} {path}: its parameters are {sorted(told)}, all required"


def _references(openapi: Json) -> Iterator[str]:
    there = openapi["components"]["schemas"].keys()
    used = set(REFERENCE.findall(json.dumps(openapi)))
    yield from (f"{name}: refers to nothing" for name in sorted(used - there))
    yield from (f"{name}: is used by nothing" for name in sorted(there - used))


def _schemas(openapi: Json) -> Iterator[tuple[str, Json]]:
    """Every schema, whole or part of another, with its place."""

    def walk(place: str, value: Any) -> Iterator[tuple[str, Json]]:
        if isinstance(value, dict):
            if "type" in value or "properties" in value:
                yield place, value
            for name, part in value.items():
                if name not in ("example", "examples", "default", "enum", "const"):
                    yield from walk(f"{place}/{name}", part)
        elif isinstance(value, list):
            for number, part in enumerate(value):
                yield from walk(f"{place}/{number}", part)

    for name, schema in openapi["components"]["schemas"].items():
        yield from walk(name, schema)
    for method, path, operation in operations(openapi):
        for each in operation.get("parameters", ()):
            yield from walk(f"{method} {path} {each['name']}", each.get("schema", {}))


def _schema(place: str, schema: Json) -> Iterator[str]:
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        for name in set(schema.get("required", ())) - properties.keys():
            yield f"{place}: requires {name}, which it has not"
    alone: Json = {name: schema[name] for name in ("type", "format", "pattern") if name in schema}
    values = [*schema.get("enum", ()), *([schema["default"]] if "default" in schema else ())]
    for value in values:
        if "type" in schema and not _fits(value, alone, {}):
            yield f"{place}: {value!r} is not of its type"


def _examples(openapi: Json) -> Iterator[str]:
    components = {"components": openapi["components"]}
    for name, schema in openapi["components"]["schemas"].items():
        for example in [
            *schema.get("examples", ()),
            *([schema["example"]] if "example" in schema else ()),
        ]:
            if not _fits(example, schema, components):
                yield f"{name}: its own example does not fit"
    for method, path, operation in operations(openapi):
        bodies = [operation.get("requestBody", {}), *operation.get("responses", {}).values()]
        for body in bodies:
            for kind, media in body.get("content", {}).items():
                given = [
                    _example(openapi, each)["value"] for each in media.get("examples", {}).values()
                ]
                for example in [*given, *([media["example"]] if "example" in media else ())]:
                    if not _fits(example, media["schema"], components):
                        yield f"{method} {path}: an example of {kind} does not fit"


def _example(openapi: Json, given: Json) -> Json:
    """The example itself, or the one of the components that it points to."""
    if "$ref" not in given:
        return given
    found: Json = openapi["components"]["examples"][given["$ref"].removeprefix(EXAMPLES)]
    return found


def _fits(value: Any, schema: Json, components: Json) -> bool:
    return openapi_schema_validator.OAS31Validator(schema | components).is_valid(value)


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_the_document_passes_the_lint() -> None:
    assert lint(DOCUMENT) == []


def first(openapi: Json) -> Json:
    _, _, operation = next(operations(openapi))
    return operation


def schemas(openapi: Json) -> Json:
    found: Json = openapi["components"]["schemas"]
    return found


def bend_example(openapi: Json) -> None:
    media = {"schema": {"type": "integer"}, "example": "no number"}
    first(openapi)["responses"]["200"] = {"description": "x", "content": {"text/plain": media}}


BENDS: list[tuple[str, Callable[[Json], Any]]] = [
    ("operationId", lambda d: first(d).pop("operationId")),
    ("used twice", lambda d: [each.update(operationId="pay") for _, _, each in operations(d)]),
    ("no summary", lambda d: first(d).pop("summary")),
    ("tags", lambda d: first(d).update(tags=["unheard"])),
    ("success", lambda d: first(d).update(responses={"400": {"description": "x"}})),
    ("no description", lambda d: first(d)["responses"].update({"299": {}})),
    ("slash", lambda d: d["paths"].update({"/v1/x/": {}})),
    ("all required", lambda d: d["paths"].update({"/v1/{x}": {"get": {}}})),
    ("refers to nothing", lambda d: first(d).update(x={"$ref": "#/components/schemas/Gone"})),
    ("used by nothing", lambda d: schemas(d).update(Spare={"type": "object"})),
    ("which it has not", lambda d: schemas(d)["PayBody"]["required"].append("tip")),
    ("not of its type", lambda d: schemas(d)["PayBody"].update(default=7)),
    ("own example", lambda d: schemas(d)["PayBody"].update(examples=[{"amount": "1.00"}])),
    ("does not fit", bend_example),
]


@pytest.mark.parametrize(("said", "bend"), BENDS, ids=[said for said, _ in BENDS])
def test_the_lint_can_fail(said: str, bend: Callable[[Json], Any]) -> None:
    bent = copy.deepcopy(DOCUMENT)
    bend(bent)
    assert any(said in problem for problem in lint(bent)), lint(bent)
