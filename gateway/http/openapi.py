"""The OpenAPI 3.1 document, generated from the structs that decode the requests and encode the
answers: it cannot drift from them.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from gateway.domain.errors import (
    FieldUnknown,
    GatewayError,
    KeyRevoked,
    KeyUnknown,
    Malformed,
    NotPermitted,
    Overloaded,
    RateLimited,
    SignatureExpired,
    SignatureInvalid,
    StoreUnavailable,
    TooLarge,
)
from gateway.http.exchange import JSON, Described, OpenRoute, Route
from gateway.http.problems import PROBLEM_JSON, Internal, Problem
from gateway.limits import (
    AUTH_CODE_CHARS_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    SIGNATURE_WINDOW_S,
    WAIT_S_DEFAULT,
    WAIT_S_MAX,
)
from security.secret import Secret

Json = dict[str, Any]

SIGNED_ERRORS = (
    Malformed,
    SignatureInvalid,
    SignatureExpired,
    KeyUnknown,
    KeyRevoked,
    NotPermitted,
    TooLarge,
    RateLimited,
    StoreUnavailable,
    Overloaded,
    Internal,
)

SIGNING = f"""Authorization: TILLGATE-HMAC-SHA256 key="<key id>",ts=<unix seconds>,sig="<base64>"

sig = base64(HMAC-SHA256(secret, METHOD \\n PATH[?QUERY as sent] \\n ts \\n \
Idempotency-Key or empty \\n hex(sha256(raw body)) \\n))

Five lines, each ended by one \\n. The HMAC key is the secret's UTF-8 text exactly as printed. \
ts may differ from the server's
clock by {SIGNATURE_WINDOW_S} s; 401 signature_expired carries server_time."""

VECTOR = {
    "secret": "sk_test_0123456789abcdef",
    "method": "POST",
    "path": "/v1/payments",
    "ts": "1795219200",
    "idempotency_key": "idem-0001",
    "body": (
        '{"order_no":"T08-0042","amount":12850,"currency":"CNY","auth_code":"280000000000000000"}'
    ),
    "sig": "a7YbEyFokKOFQ0JLY6LaLqH8CSecy8vUr64qrS+snFI=",
}

EXAMPLES: dict[str, Any] = {
    "PayBody": msgspec.json.decode(VECTOR["body"]),
    "RefundBody": {
        "refund_no": "R-0042-1",
        "amount": 500,
        "reason": "dish sold out",
        "operator_id": "c07",
    },
    "CancelBody": {},
    "NothingBody": {},
    "WebhookEndpointBody": {
        "url": "https://shop.example/tillgate",
        "event_types": ["payment.succeeded", "refund.succeeded"],
    },
    "ResendBody": {"dead_since": "2026-11-21T00:00:00Z"},
}


def document(routes: Sequence[Route], open_routes: Sequence[OpenRoute]) -> Json:
    """The whole document, as JSON values."""
    refs, components = _schemas(routes, open_routes)
    paths: dict[str, Json] = {}
    for signed_route in routes:
        paths.setdefault(signed_route.path, {})[signed_route.method.lower()] = _signed_operation(
            signed_route, refs, components
        )
    for open_route in open_routes:
        paths.setdefault(open_route.path, {})[open_route.method.lower()] = _open_operation(
            open_route, refs
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tillgate",
            "version": "1",
            "description": (
                "One pay endpoint for Alipay, WeChat Pay and cash. Amounts are integers of fen. "
                "Treat an unknown `status`, `verdict.code` or `next_action.type` as "
                "`do_not_charge_again`, and poll."
            ),
        },
        "servers": [{"url": "/"}],
        "security": [{"till_signature": []}],
        "tags": [
            {"name": "signed", "description": "Called by tills and merchant servers"},
            {"name": "open", "description": "Operations"},
        ],
        "paths": paths,
        "components": {
            "schemas": {
                name: schema for name, schema in components.items() if not name.endswith("Query")
            },
            "securitySchemes": {
                "till_signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": SIGNING,
                    "x-test-vector": VECTOR,
                }
            },
        },
    }


def encoded(openapi: Json) -> bytes:
    """The bytes `/openapi.json` answers."""
    return msgspec.json.encode(openapi)


def _schemas(
    routes: Sequence[Route], open_routes: Sequence[OpenRoute]
) -> tuple[dict[type, Json], dict[str, Json]]:
    """References by struct, and the schemas they point to."""
    shapes: dict[type, None] = {Problem: None}
    for route in routes:
        shapes.update({shape: None for shape in (route.body, route.query) if shape})
    for described in (*routes, *open_routes):
        shapes.update(
            {shape: None for shape in described.answers.values() if isinstance(shape, type)}
        )
    refs, components = msgspec.json.schema_components(
        shapes, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    for name, example in EXAMPLES.items():
        components[name]["examples"] = [example]
    return dict(zip(shapes, refs, strict=True)), {
        name: _portable(schema) for name, schema in components.items()
    }


def _schema_hook(shape: type) -> Json:
    if shape is Secret:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": AUTH_CODE_CHARS_MAX,
            "writeOnly": True,
        }
    raise NotImplementedError(shape)


def _portable(value: Any) -> Any:
    """Patterns as JSON Schema writes them:
    its `$` has no second meaning, so the guard against Python's goes.
    """
    if isinstance(value, dict):
        return {
            name: each.replace(r"$(?!\n)", "$")
            if name == "pattern" and isinstance(each, str)
            else _portable(each)
            for name, each in value.items()
        }
    return [_portable(each) for each in value] if isinstance(value, list) else value


def _signed_operation(route: Route, refs: dict[type, Json], components: dict[str, Json]) -> Json:
    operation = _operation(
        route, refs, (*SIGNED_ERRORS, *route.errors, *(() if route.query else (FieldUnknown,)))
    )
    operation["tags"] = ["signed"]
    operation["description"] = f"{route.title_zh}\n\nPermission: `{route.permission.value}`."
    operation["parameters"] += _header_parameters(route) + _query_parameters(route, components)
    if route.body:
        required = bool(components[route.body.__name__].get("required"))
        operation["requestBody"] = {
            "required": required,
            "content": {JSON: {"schema": refs[route.body]}},
        }
    return operation


def _open_operation(route: OpenRoute, refs: dict[type, Json]) -> Json:
    operation = _operation(
        route, refs, (*((Malformed, TooLarge) if route.takes_body else ()), *route.errors, Internal)
    )
    operation["tags"] = ["open"]
    operation["description"] = route.title_zh
    operation["security"] = []
    if route.takes_body:
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": {}}}}
    return operation


def _operation(
    route: Described, refs: dict[type, Json], errors: Iterable[type[GatewayError]]
) -> Json:
    name = getattr(route, "handler").__name__  # noqa: B009 - both kinds of routes have one, of different types
    return {
        "operationId": name,
        "summary": route.title_en,
        "parameters": [
            {
                "name": each,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            }
            for each in re.findall(r"\{(\w+)\}", route.path)
        ],
        "responses": _merged(_answers(route, refs), _problems(errors, refs)),
    }


def _header_parameters(route: Route) -> list[Json]:
    parameters: list[Json] = []
    if route.needs_idempotency_key:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": (
                    "Your name for this request: the same name and body give the same object, in "
                    "its present state."
                ),
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
                    "pattern": "^[ -~]+$",
                },
                "example": VECTOR["idempotency_key"],
            }
        )
    if route.waits:
        parameters.append(
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": (
                    f"`wait=N`, 0 to {WAIT_S_MAX} seconds: the longest wait for the channel; else "
                    f"{WAIT_S_DEFAULT} (RFC 7240)."
                ),
                "schema": {"type": "string"},
                "example": "wait=10",
            }
        )
    return parameters


def _query_parameters(route: Route, components: dict[str, Json]) -> list[Json]:
    schema = components[route.query.__name__] if route.query else {"properties": {}}
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(each)}
        for name, each in schema["properties"].items()
    ]


def _without_null(schema: Json) -> Json:
    """A query has no null: an optional parameter is left away."""
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    rest = {
        name: each
        for name, each in schema.items()
        if name != "anyOf" and not (name == "default" and each is None)
    }
    if "enum" in rest:
        rest["enum"] = [each for each in rest["enum"] if each is not None]
    return {**rest, **choices[0]} if len(choices) == 1 else {**schema, **rest}


def _answers(route: Described, refs: dict[type, Json]) -> Json:
    return {str(status): _answer(status, shape, refs) for status, shape in route.answers.items()}


def _merged(answers: Json, problems: Json) -> Json:
    """By status; one may stand for an answer and for problems:
    channels are refused in their own words.
    """
    both = {
        status: {
            **answers[status],
            **problems[status],
            "content": {**answers[status]["content"], **problems[status]["content"]},
        }
        for status in answers.keys() & problems.keys()
    }
    return {**answers, **problems, **both}


def _answer(status: int, shape: Any, refs: dict[type, Json]) -> Json:
    answer: Json = {
        "description": HTTPStatus(status).phrase,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
    }
    if isinstance(shape, str):
        answer["content"] = {shape: {"schema": {}}}
    else:
        answer["content"] = {JSON: {"schema": refs[shape]}}
    return answer


def _problems(errors: Iterable[type[GatewayError]], refs: dict[type, Json]) -> Json:
    by_status: dict[int, dict[str, type[GatewayError]]] = {}
    for error in errors:
        by_status.setdefault(error.http_status, {})[error.code] = error
    return {str(status): _problem(found, refs) for status, found in sorted(by_status.items())}


def _problem(found: dict[str, type[GatewayError]], refs: dict[type, Json]) -> Json:
    headers: Json = {"X-Request-Id": {"schema": {"type": "string"}}}
    if any(error.retry_after_s is not None for error in found.values()):
        headers["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
    return {
        "description": " · ".join(f"`{code}` {error.title}" for code, error in found.items()),
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": refs[Problem]}},
    }
