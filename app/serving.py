"""What every API process has, and one that does nothing but predict: wiring only."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI

from app import health
from app.auth.guard import Guard
from app.auth.routes import checked_routes
from app.core.db import Database, Limits
from app.core.outages import Outages
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from app.errors import add_error_handlers
from app.inference.protocols import (
    INFERENCE_DOCUMENTS,
    ClientGone,
    answer_nobody,
    answer_unknown_calls,
    inference_routes,
    kserve_router,
)
from app.inference.runtime import InferenceRuntime
from app.middleware import BodyDeadline, BodyLimit, RequestLog
from app.openapi import describe, operation_id
from app.process_metrics import ProcessMetrics
from app.readiness import Readiness

OTHER_THREADS = 8
"""That may ask the database beside those of requests: for polls and streams, and to look models up."""

SERVING_ROUTERS = (health.router, health.operator_router, kserve_router)


def create_serving_app(settings: Settings, metrics: ProcessMetrics | None = None) -> FastAPI:
    """The ASGI application of a process that predicts, by the models and keys that are there, and no more."""
    # Jobs are not created here.
    settings = settings.model_copy(update={"broker_url": None})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with predicting(app, settings, connections=settings.request_threads + OTHER_THREADS):
            yield

    app = plain_app(settings, metrics, lifespan=lifespan, routers=SERVING_ROUTERS)
    add_middleware(app, settings)
    return app


def plain_app(
    settings: Settings,
    metrics: ProcessMetrics | None,
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    routers: Sequence[APIRouter],
    documents: Sequence[Callable[[], dict[str, Any]]] = (),
) -> FastAPI:
    """An application with the routes of predictions and others, without middleware.

    Args:
        settings: of the process.
        metrics: of the process; default: it is alone.
        lifespan: what is open while it runs.
        routers: of the other routes. Requests are matched in this order, at a cost for each route: those
            that are asked most come first.
        documents: what FastAPI does not know of them.
    """
    app = FastAPI(
        title="Squeeze",
        version="1",
        summary="Model compression as a service: upload a transformer, name a target size, get a small "
        "served student.",
        lifespan=lifespan,
        # Its own traces would hold paths and query strings; ours are begun in app.middleware.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=operation_id,
    )
    app.state.settings = settings
    app.state.outages = Outages()
    app.state.metrics = metrics or ProcessMetrics()
    add_error_handlers(app)
    app.add_exception_handler(ClientGone, answer_nobody)
    describe(app, [*INFERENCE_DOCUMENTS, *documents])
    app.router.routes[:0] = checked_routes(inference_routes())
    for router in routers:
        checked_routes(router.routes)
        app.include_router(router)
    answer_unknown_calls(app.router)
    return app


def add_middleware(app: FastAPI, settings: Settings) -> None:
    """Around all that the application has by now."""
    app.add_middleware(
        BodyLimit, max_body_bytes=settings.max_body_bytes, max_upload_bytes=settings.max_upload_bytes
    )
    app.add_middleware(
        BodyDeadline,
        whole_s=settings.upload_timeout.total_seconds(),
        stall_s=settings.upload_stall.total_seconds(),
        min_bytes_per_s=settings.min_upload_rate_bytes,
    )
    app.add_middleware(RequestLog)


@asynccontextmanager
async def predicting(app: FastAPI, settings: Settings, *, connections: int) -> AsyncIterator[None]:
    """Have what predictions need in the application's state; ``connections`` to the database at most."""
    current_default_thread_limiter().total_tokens = settings.request_threads
    app.state.database = Database(
        settings.resolved_database_url,
        connections=connections,
        limits=Limits.within(settings.database_timeout),
    )
    app.state.guard = Guard(settings, app.state.database, app.state.outages)
    app.state.queue = Queue(settings.broker_url, settings.queues[0])
    app.state.storage = Storage.from_url(
        settings.resolved_storage_url, s3_endpoint=settings.s3_endpoint, timeout=settings.storage_timeout
    )
    app.state.inference = InferenceRuntime(settings, app.state.database, app.state.storage, app.state.outages)
    app.state.readiness = Readiness(app.state, settings, app.state.outages)
    await app.state.metrics.start()
    yield
    await app.state.metrics.close()
    await app.state.inference.close()
    await app.state.guard.close()
    app.state.database.dispose()
