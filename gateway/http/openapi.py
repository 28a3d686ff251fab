"""The OpenAPI 3.1 document, generated from the structs that decode the requests and encode the
answers: it cannot drift from them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway.domain.errors import (
    Disabled,
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
from gateway.http.openapi_answers import (
    ANY,
    BYTES,
    answer_of,
    content_of,
    examples,
    merged,
    problems_of,
)
from gateway.http.openapi_examples import VECTOR
from gateway.http.openapi_schemas import schemas_of, told
from gateway.http.pages import EventResource
from gateway.http.problems import Internal, Problem
from gateway.limits import (
    IDEMPOTENCY_KEY_CHARS_MAX,
    SIGNATURE_WINDOW_S,
    WAIT_S_DEFAULT,
    WAIT_S_MAX,
)
from security.webhook_signature import ID, SIGNATURE, TIMESTAMP

Json = dict[str, Any]

SIGNED_ERRORS = (
    Malformed,
    SignatureInvalid,
    SignatureExpired,
    KeyUnknown,
    KeyRevoked,
    NotPermitted,
    Disabled,
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


def document(routes: Sequence[Route], open_routes: Sequence[OpenRoute]) -> Json:
    """The whole document, as JSON values."""
    refs, schemas = schemas_of(_shapes(routes, open_routes))
    paths: dict[str, Json] = {}
    for signed_route in routes:
        paths.setdefault(signed_route.path, {})[signed_route.method.lower()] = _signed_operation(
            signed_route, refs, schemas
        )
    for open_route in open_routes:
        paths.setdefault(open_route.path, {})[open_route.method.lower()] = _open_operation(
            open_route, refs
        )
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": "/", "description": "This gateway"}],
        "security": [{"till_signature": []}],
        "tags": [{"name": name} for name in _tags(paths)]
        + [{"name": "received", "description": "Called by the gateway, at your address"}],
        "paths": paths,
        "webhooks": {"event": {"post": _webhook(refs)}},
        "components": {
            "schemas": {
                name: schema for name, schema in schemas.items() if not name.endswith("Query")
            },
            "examples": examples(),
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


INFO = {
    "title": "Tillgate",
    "version": "1",
    "summary": "One pay endpoint for Alipay, WeChat Pay and cash",
    "license": {"name": "MIT", "identifier": "MIT"},
    "description": (
        "One pay endpoint for Alipay, WeChat Pay and cash. Amounts are integers of fen. Branch on "
        "`verdict.code`. Ignore fields that you do not know; treat an unknown `status`, "
        "`verdict.code` or `next_action.type` as `do_not_charge_again`, and poll: switch on what "
        "your generator has for enum values that are not listed yet."
    ),
    "x-description-zh": (
        "支付宝、微信支付、现金，统一走一个收款接口。金额一律为整数分。请按 `verdict.code` "
        "判断结果。忽略不认识的字段；遇到不认识的 `status`、`verdict.code` 或 "
        "`next_action.type`，按 `do_not_charge_again` 处理并继续查询。"
    ),
}


def encoded(openapi: Json) -> bytes:
    """The bytes `/openapi.json` answers."""
    return msgspec.json.encode(openapi)


def _shapes(routes: Sequence[Route], open_routes: Sequence[OpenRoute]) -> list[type]:
    """Every struct that goes in or out, once, in the order of the routes."""
    shapes: dict[type, None] = {Problem: None, EventResource: None}
    for route in routes:
        shapes.update({shape: None for shape in (route.body, route.query) if shape})
    for described in (*routes, *open_routes):
        shapes.update(
            {shape: None for shape in described.answers.values() if isinstance(shape, type)}
        )
    return list(shapes)


def _signed_operation(route: Route, refs: dict[type, Json], schemas: dict[str, Json]) -> Json:
    operation = _operation(
        route, refs, (*SIGNED_ERRORS, *route.errors, *(() if route.query else (FieldUnknown,)))
    )
    operation["tags"] = [_subject(route)]
    operation["description"] = f"Permission: `{route.permission.value}`."
    operation["parameters"] += _header_parameters(route) + _query_parameters(route, schemas)
    if route.body:
        operation["requestBody"] = {
            "required": bool(schemas[route.body.__name__]["required"]),
            "content": {JSON: content_of(route.body, refs)},
        }
    return operation


def _subject(route: Route) -> str:
    """`payment_create` is about payments."""
    return f"{route.permission.value.partition('_')[0]}s"


def _tags(paths: dict[str, Json]) -> list[str]:
    """As the operations name them, in their order."""
    return list(
        dict.fromkeys(
            tag
            for methods in paths.values()
            for operation in methods.values()
            for tag in operation["tags"]
        )
    )


def _open_operation(route: OpenRoute, refs: dict[type, Json]) -> Json:
    operation = _operation(
        route, refs, (*((Malformed, TooLarge) if route.takes_body else ()), *route.errors, Internal)
    )
    operation["tags"] = ["operations"]
    operation["security"] = []
    if route.takes_body:
        operation["requestBody"] = {"required": True, "content": {ANY: {"schema": BYTES}}}
    return operation


def _operation(
    route: Described, refs: dict[type, Json], errors: Iterable[type[GatewayError]]
) -> Json:
    name = getattr(route, "handler").__name__  # noqa: B009 - both kinds of routes have one, of different types
    return {
        "operationId": name,
        "summary": route.title_en,
        "x-summary-zh": route.title_zh,
        "parameters": [
            {
                "name": each,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            }
            for each in re.findall(r"\{(\w+)\}", route.path)
        ],
        "responses": merged(
            {str(status): answer_of(route, status, refs) for status in route.answers},
            problems_of(errors, refs),
        ),
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


def _query_parameters(route: Route, schemas: dict[str, Json]) -> list[Json]:
    """A query has no null: an optional parameter is left out."""
    if route.query is None:
        return []
    struct = route.query.__name__
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schemas[struct]["required"],
            **told(struct, name),
            "schema": schema,
        }
        for name, schema in _bare(schemas[struct]["properties"]).items()
    ]


def _bare(fields: dict[str, Json]) -> dict[str, Json]:
    """Schemas without their texts, which stand at the parameter."""
    return {
        name: {
            word: each
            for word, each in schema.items()
            if word not in {"description", "x-description-zh"}
        }
        for name, schema in fields.items()
    }


def _webhook(refs: dict[type, Json]) -> Json:
    """What the receiver of events has to take."""
    headers = (
        (ID, "The event's id: the same in every resend.", "evt_3f0d9a6c51e27b84f3d6a0c95b1e7284"),
        (TIMESTAMP, "Unix seconds of this try; refuse one that is old.", "1795219200"),
        (
            SIGNATURE,
            "Standard Webhooks: `v1,` and a base64 HMAC; several while a secret rotates.",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    )
    return {
        "operationId": "receive_event",
        "tags": ["received"],
        "summary": "Take an event",
        "x-summary-zh": "接收事件通知",
        "description": "Verify the signature over the raw body before you read it. "
        "Events may come twice and out of order: compare `version` of the object.",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": about,
                "schema": {"type": "string"},
                "example": example,
            }
            for name, about, example in headers
        ],
        "requestBody": {"required": True, "content": {JSON: content_of(EventResource, refs)}},
        "responses": {
            "2XX": {"description": "Taken; it is not sent again"},
            "410": {"description": "Not wanted any more: the endpoint is disabled"},
        },
    }
