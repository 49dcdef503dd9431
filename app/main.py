"""The API: wiring only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from app import health
from app.auth.guard import Guard
from app.auth.routes import checked_routes
from app.background import BackgroundReading
from app.core.db import Database, Limits
from app.core.outages import Outages
from app.core.places import Places
from app.core.queue import Queue
from app.core.settings import Settings, get_settings
from app.core.storage import Storage
from app.datasets import endpoints as datasets
from app.errors import add_error_handlers
from app.fine_tuning import endpoints as fine_tuning
from app.fine_tuning import file_endpoints as files
from app.idempotency.creation import Replayed, replay
from app.idempotency.fingerprint import TakeFingerprints
from app.inference.protocols import (
    INFERENCE_DOCUMENTS,
    ClientGone,
    answer_nobody,
    answer_unknown_calls,
    inference_routes,
    kserve_router,
)
from app.inference.runtime import InferenceRuntime
from app.jobs import endpoints as jobs
from app.jobs.events import EventStreams
from app.jobs.polling import JobPolling
from app.middleware import BodyDeadline, BodyLimit, RequestLog
from app.named_endpoints import endpoints as named_endpoints
from app.openapi import describe, operation_id
from app.projects import endpoints as projects
from app.projects import key_endpoints as keys
from app.readiness import Readiness
from app.registry import endpoints as registry
from app.registry.unread import ModelReader
from app.shutdown import on_termination
from app.signing import endpoints as signing
from app.uploads import endpoints as uploads
from app.webhooks import endpoints as webhooks
from app.webhooks import sender
from app.webhooks.sender import WebhookSender
from app.workers import endpoints as workers

_OTHER_THREADS = 8
"""That may ask the database beside those of requests: for polls and streams, and to look models up."""

# Requests are matched in this order, at a cost for each route: those that are asked most come first.
ROUTERS = (
    registry.router,
    datasets.router,
    jobs.router,
    workers.router,
    projects.router,
    keys.router,
    webhooks.router,
    signing.router,
    uploads.router,
    uploads.public_router,
    named_endpoints.router,
    fine_tuning.router,
    files.router,
    health.router,
    health.operator_router,
    kserve_router,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application; its stores open when it starts and close when it stops."""
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = settings.request_threads
        app.state.database = Database(
            settings.resolved_database_url,
            connections=settings.request_threads
            + settings.intake_processes
            + settings.hub_downloads
            + _OTHER_THREADS
            + sender.CONNECTIONS
            + BackgroundReading.connections(settings),
            limits=Limits.within(settings.database_timeout),
        )
        app.state.uploads = Places(settings.intake_processes, what="uploads are being read")
        app.state.downloads = Places(settings.hub_downloads, what="models are being taken from the hub")
        app.state.guard = Guard(settings, app.state.database, app.state.outages)
        app.state.polling = JobPolling(app.state.database)
        app.state.event_streams = EventStreams(app.state.database)
        app.state.queue = Queue(settings.broker_url, settings.queues[0])
        app.state.storage = Storage.from_url(
            settings.resolved_storage_url, s3_endpoint=settings.s3_endpoint, timeout=settings.storage_timeout
        )
        app.state.inference = InferenceRuntime(
            settings, app.state.database, app.state.storage, app.state.outages
        )
        app.state.webhooks = WebhookSender(settings, app.state.database, app.state.outages)
        app.state.webhooks.start()
        app.state.background = BackgroundReading(
            settings, app.state.database, app.state.outages, ModelReader(app.state.storage, settings)
        )
        app.state.background.start()
        app.state.readiness = Readiness(app.state, settings, app.state.outages)
        with on_termination(app.state.event_streams.stop):
            yield
        await app.state.event_streams.close()
        await asyncio.to_thread(app.state.webhooks.close)
        await asyncio.to_thread(app.state.background.close)
        await app.state.inference.close()
        await app.state.guard.close()
        await asyncio.to_thread(app.state.queue.close)
        app.state.database.dispose()

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
    add_error_handlers(app)
    app.add_exception_handler(Replayed, replay)
    app.add_exception_handler(ClientGone, answer_nobody)
    describe(app, [*INFERENCE_DOCUMENTS, registry.openapi_document])
    app.router.routes[:0] = checked_routes(inference_routes())
    for router in ROUTERS:
        checked_routes(router.routes)
        app.include_router(router)
    answer_unknown_calls(app.router)
    app.add_middleware(TakeFingerprints)
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
    return app
