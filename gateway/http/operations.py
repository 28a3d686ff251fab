"""What operators, probes and integrators read: liveness, readiness, metrics and the documents."""

import asyncio
import os
from dataclasses import dataclass

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.http.exchange import Answer, EdgeDeps
from gateway.http.serving import DRAINING


@dataclass(frozen=True, slots=True)
class Documents:
    """Rendered once at start-up; `content_security_policy` lets the page use its own style and
    nothing else.
    """

    openapi: bytes
    page: bytes
    content_security_policy: str


DOCUMENTS: web.AppKey[Documents] = web.AppKey("documents", Documents)


async def healthz(_request: web.Request, _deps: EdgeDeps) -> Answer:
    """The process runs its loop."""
    return Answer(200, b'{"status":"alive"}')


async def readyz(request: web.Request, deps: EdgeDeps) -> Answer:
    """Whether to send traffic here; each check by name."""
    readiness = await deps.readiness()
    draining = DRAINING in request.app and request.app[DRAINING].is_set()
    checks = {**readiness.checks, "draining": "yes"} if draining else readiness.checks
    ready = readiness.ready and not draining
    return Answer(200 if ready else 503, msgspec.json.encode({"ready": ready, "checks": checks}))


async def metrics(_request: web.Request, _deps: EdgeDeps) -> Answer:
    """Prometheus text, of all workers where they share a folder of samples.

    Reads files, so it is done beside the loop.
    """
    return Answer(200, await asyncio.to_thread(exposition), CONTENT_TYPE_LATEST)


def exposition() -> bytes:
    """The samples of this process, or of every worker when PROMETHEUS_MULTIPROC_DIR is set."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def openapi_document(request: web.Request, _deps: EdgeDeps) -> Answer:
    """The OpenAPI 3.1 document."""
    return Answer(200, request.app[DOCUMENTS].openapi)


async def docs_page(request: web.Request, _deps: EdgeDeps) -> Answer:
    """The same, for people."""
    documents = request.app[DOCUMENTS]
    return Answer(
        200,
        documents.page,
        "text/html; charset=utf-8",
        {"Content-Security-Policy": documents.content_security_policy},
    )
