"""The API: wiring only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.background import BackgroundReading
from app.console import endpoints as console
from app.core.places import Places
from app.core.settings import Settings, get_settings
from app.datasets import endpoints as datasets
from app.fine_tuning import endpoints as fine_tuning
from app.fine_tuning import file_endpoints as files
from app.idempotency.creation import Replayed, replay
from app.idempotency.fingerprint import TakeFingerprints
from app.jobs import endpoints as jobs
from app.jobs.events import EventStreams
from app.jobs.polling import JobPolling
from app.named_endpoints import endpoints as named_endpoints
from app.process_metrics import ProcessMetrics
from app.projects import endpoints as projects
from app.projects import key_endpoints as keys
from app.registry import endpoints as registry
from app.registry.unread import ModelReader
from app.serving import OTHER_THREADS, SERVING_ROUTERS, add_middleware, plain_app, predicting
from app.shutdown import on_termination
from app.signing import endpoints as signing
from app.uploads import endpoints as uploads
from app.webhooks import endpoints as webhooks
from app.webhooks import sender
from app.webhooks.sender import WebhookSender
from app.workers import endpoints as workers

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
    *SERVING_ROUTERS,
    console.router,
)


def create_app(settings: Settings | None = None, metrics: ProcessMetrics | None = None) -> FastAPI:
    """The ASGI application; its stores open when it starts and close when it stops."""
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connections = (
            settings.request_threads
            + settings.intake_processes
            + settings.hub_downloads
            + OTHER_THREADS
            + sender.CONNECTIONS
            + BackgroundReading.connections(settings)
        )
        async with predicting(app, settings, connections=connections):
            app.state.uploads = Places(settings.intake_processes, what="uploads are being read")
            app.state.downloads = Places(settings.hub_downloads, what="models are being taken from the hub")
            app.state.polling = JobPolling(app.state.database)
            app.state.event_streams = EventStreams(app.state.database)
            app.state.webhooks = WebhookSender(settings, app.state.database, app.state.outages)
            app.state.webhooks.start()
            app.state.background = BackgroundReading(
                settings, app.state.database, app.state.outages, ModelReader(app.state.storage, settings)
            )
            app.state.background.start()
            with on_termination(app.state.event_streams.stop):
                yield
            await app.state.event_streams.close()
            await asyncio.to_thread(app.state.webhooks.close)
            await asyncio.to_thread(app.state.background.close)
            await asyncio.to_thread(app.state.queue.close)

    app = plain_app(
        settings, metrics, lifespan=lifespan, routers=ROUTERS, documents=[registry.openapi_document]
    )
    app.add_exception_handler(Replayed, replay)
    app.add_middleware(TakeFingerprints)
    add_middleware(app, settings)
    return app
