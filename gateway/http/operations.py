"""What operators, probes and integrators read: liveness, readiness, metrics and the documents.

The public listener says whether traffic may come, in one word. Metrics, and what readiness depends
on, are on the listener for operations: they cost time, and tell a stranger how the shop is doing.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.clock import Clock, Ids
from gateway.domain.errors import RateLimited
from gateway.edge_limits import METRICS_AGE_MS_MAX
from gateway.http.exchange import Answer, Described, OpenRoute, Readiness
from gateway.http.pages import AliveResource, ReadinessResource, ReadyResource
from gateway.http.remembered import Remembered
from gateway.http.serving import LEAVING


@dataclass(frozen=True, slots=True)
class Documents:
    """Rendered once at start-up; `content_security_policy` lets the page use its own style and
    nothing else.
    """

    openapi: bytes
    page: bytes
    content_security_policy: str


DOCUMENTS: web.AppKey[Documents] = web.AppKey("documents", Documents)


class Probed(Protocol):
    """What can be asked how it is."""

    @property
    def readiness(self) -> Callable[[], Awaitable[Readiness]]:
        """See `Readiness`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsDeps:
    """Everything the listener for operations is given."""

    readiness: Callable[[], Awaitable[Readiness]]
    clock: Clock
    ids: Ids
    metrics: Remembered[bytes] = field(
        default_factory=lambda: Remembered(_rendered, METRICS_AGE_MS_MAX)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsRoute(Described):
    """A route of that listener."""

    handler: Callable[[web.Request, OperationsDeps], Awaitable[Answer]]


async def healthz(_request: web.Request, _deps: Probed) -> Answer:
    """The process runs its loop."""
    return Answer(200, b'{"status":"alive"}')


async def readyz(request: web.Request, deps: Probed) -> Answer:
    """Whether to send traffic here."""
    ready, _ = await _looked_at(request, deps)
    return Answer(200 if ready else 503, b'{"ready":true}' if ready else b'{"ready":false}')


async def readyz_in_detail(request: web.Request, deps: Probed) -> Answer:
    """The same, with each check by name."""
    ready, checks = await _looked_at(request, deps)
    return Answer(200 if ready else 503, msgspec.json.encode({"ready": ready, "checks": checks}))


async def _looked_at(request: web.Request, deps: Probed) -> tuple[bool, dict[str, str]]:
    readiness = await deps.readiness()
    if request.app[LEAVING].is_set():
        return False, {**readiness.checks, "draining": "yes"}
    return readiness.ready, dict(readiness.checks)


async def metrics(_request: web.Request, deps: OperationsDeps) -> Answer:
    """Prometheus text, of all workers where they share a folder of samples."""
    return Answer(200, await deps.metrics(), CONTENT_TYPE_LATEST)


def exposition() -> bytes:
    """The samples of this process, or of every worker when PROMETHEUS_MULTIPROC_DIR is set."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def _rendered() -> bytes:
    return await asyncio.to_thread(exposition)  # it reads files


async def openapi_document(request: web.Request, _deps: Probed) -> Answer:
    """The OpenAPI 3.1 document."""
    return Answer(200, request.app[DOCUMENTS].openapi)


async def docs_page(request: web.Request, _deps: Probed) -> Answer:
    """The same, for people."""
    documents = request.app[DOCUMENTS]
    return Answer(
        200,
        documents.page,
        "text/html; charset=utf-8",
        {"Content-Security-Policy": documents.content_security_policy},
    )


# --- the routes: what a probe asks stands on both listeners, in one word here and in detail there

PUBLIC_PROBES: tuple[OpenRoute, ...] = (
    OpenRoute(
        method="GET",
        path="/healthz",
        handler=healthz,
        title_en="Alive",
        title_zh="存活检查",
        answers={200: AliveResource},
    ),
    OpenRoute(
        method="GET",
        path="/readyz",
        handler=readyz,
        title_en="Ready for traffic",
        title_zh="就绪检查",
        answers={200: ReadyResource, 503: ReadyResource},
    ),
)

OPERATIONS_ROUTES: tuple[OperationsRoute, ...] = (
    OperationsRoute(
        method="GET",
        path="/healthz",
        handler=healthz,
        title_en="Alive",
        title_zh="存活检查",
        answers={200: AliveResource},
    ),
    OperationsRoute(
        method="GET",
        path="/readyz",
        handler=readyz_in_detail,
        title_en="Ready for traffic, each check by name",
        title_zh="就绪检查明细",
        answers={200: ReadinessResource, 503: ReadinessResource},
    ),
    OperationsRoute(
        method="GET",
        path="/metrics",
        handler=metrics,
        title_en="Prometheus metrics",
        title_zh="监控指标",
        answers={200: "text/plain"},
    ),
)

DOCUMENT_ROUTES: tuple[OpenRoute, ...] = (
    OpenRoute(
        method="GET",
        path="/openapi.json",
        handler=openapi_document,
        is_counted=True,
        title_en="The OpenAPI 3.1 document",
        title_zh="接口描述文件",
        answers={200: "application/json"},
        errors=(RateLimited,),
    ),
    OpenRoute(
        method="GET",
        path="/docs",
        handler=docs_page,
        is_counted=True,
        title_en="This page",
        title_zh="本页",
        answers={200: "text/html"},
        errors=(RateLimited,),
    ),
)
