"""What a route answers and refuses in the OpenAPI document: status, headers, body, examples."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from gateway.domain.errors import GatewayError
from gateway.http.exchange import JSON, Described, Route
from gateway.http.openapi_examples import EXAMPLES
from gateway.http.problems import NOTHING_TOLD, PROBLEM_JSON, Problem, documented, problem_of

Json = dict[str, Any]


def merged(answers: Json, problems: Json) -> Json:
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


def answer_of(route: Described, status: int, refs: dict[type, Json]) -> Json:
    """One of the route's good answers."""
    shape = route.answers[status]
    headers: Json = {"X-Request-Id": X_REQUEST_ID}
    if isinstance(route, Route) and route.needs_idempotency_key:
        headers |= CREATED if status == HTTPStatus.CREATED else REPLAYED
    answer: Json = {"description": HTTPStatus(status).phrase, "headers": headers}
    if isinstance(shape, type):
        answer["content"] = {JSON: content_of(shape, refs)}
    elif HTTPStatus(status) is not HTTPStatus.NO_CONTENT:
        answer["content"] = {shape: {"schema": UNSHAPED.get(shape, {"type": "string"})}}
    return answer


def content_of(shape: type, refs: dict[type, Json]) -> Json:
    """A body of JSON, with examples."""
    return {
        "schema": refs[shape],
        "examples": {
            name: {"$ref": f"#/components/examples/{shape.__name__}.{name}"}
            for name in EXAMPLES[shape]
        },
    }


X_REQUEST_ID: Json = {
    "description": "Tell it when you ask about this request.",
    "schema": {"type": "string"},
}
CREATED: Json = {
    "Location": {"description": "Where to read it.", "schema": {"type": "string"}},
}
REPLAYED: Json = {
    "Idempotency-Replayed": {
        "description": "Always `true`: the first request with this key made it.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "format": "int32"}},
}
ANY = "*/*"
BYTES: Json = {"type": "string", "format": "binary"}  # as the channel writes it
# Answers without a struct: a channel is told in its own words, text or JSON.
UNSHAPED: dict[str, Json] = {ANY: {}, JSON: {"type": "object"}}


def problems_of(errors: Iterable[type[GatewayError]], refs: dict[type, Json]) -> Json:
    """By status; errors that share one share a description."""
    by_status: dict[int, dict[str, type[GatewayError]]] = {}
    for error in errors:
        by_status.setdefault(error.http_status, {})[error.code] = error
    return {str(status): _problem(found, refs) for status, found in sorted(by_status.items())}


def _problem(found: dict[str, type[GatewayError]], refs: dict[type, Json]) -> Json:
    waits = any(error.retry_after_s is not None for error in found.values())
    return {
        "description": " · ".join(f"`{code}` {error.title}" for code, error in found.items()),
        "headers": {"X-Request-Id": X_REQUEST_ID} | (RETRY_AFTER if waits else {}),
        "content": {
            PROBLEM_JSON: {
                "schema": refs[Problem],
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in found},
            }
        },
    }


def examples() -> Json:
    """Of every struct and of every error."""
    told_of: Json = {
        f"{shape.__name__}.{name}": {
            "summary": name.replace("_", " "),
            "value": msgspec.to_builtins(value),
        }
        for shape, values in EXAMPLES.items()
        for name, value in values.items()
    }
    for error in documented():
        problem = problem_of(error(), "req_8c1f03ab52d96e47", NOTHING_TOLD)
        told_of[error.code] = {"summary": error.title, "value": msgspec.to_builtins(problem)}
    return told_of
