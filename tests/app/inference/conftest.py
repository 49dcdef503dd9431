"""Registered models with real exports, and a live server that serves them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from app.core.db import Database
from app.core.db.models import Model
from app.core.manifest import ModelManifest, OnnxExport
from app.core.settings import Settings
from app.core.shapes import EncoderCard, Shape
from app.core.storage import Storage
from app.main import create_app
from tests.processes import wait_until
from tests.tiny import tiny_model_folder

LABELS = ["bad", "fair", "good"]
MAX_LENGTH = 62
CARD = EncoderCard(
    architecture="bert",
    shape=Shape(layers=2, hidden=32, heads=2, ffn=64),
    vocabulary=256,
    positions=64,
    token_types=2,
)

Register = Callable[..., str]


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small classifier of a family, exported in both precisions; made once a session."""
    from transformers import AutoModelForSequenceClassification

    from worker.export.exports import make_exports

    made: dict[str, Path] = {}

    def make(architecture: str) -> Path:
        if architecture not in made:
            folder = tiny_model_folder(
                tmp_path_factory.mktemp("model"), labels=LABELS, architecture=architecture
            )
            network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
            for parameter in network.parameters():
                parameter.requires_grad_(False).mul_(4)  # so that texts differ in their scores
            network.save_pretrained(folder)
            make_exports(network, ["fp32", "int8"], folder)
            made[architecture] = folder
        return made[architecture]

    return make


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return Settings(data_dir=tmp_path, database_url=sqlite_url, inference_threads=2)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.from_url(settings.resolved_storage_url)


@pytest.fixture
def inference_database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.resolved_database_url)
    yield database
    database.dispose()


@pytest.fixture
def register(
    inference_database: Database, storage: Storage, exported_folder: Callable[[str], Path]
) -> Register:
    """Put a model into store and registry, as a finished job does."""

    def put(architecture: str = "bert", *, exports: tuple[str, ...] = ("fp32", "int8")) -> str:
        folder = exported_folder(architecture)
        with inference_database.transaction() as session:
            model = Model(name="tiny", origin="job", manifest_json={})
            session.add(model)
            session.flush()  # gives the id
            manifest = ModelManifest(
                files=storage.put_folder(f"models/{model.id}", folder),
                card=CARD,
                task="text_classification",
                labels=LABELS,
                parameters=1,
                max_length=MAX_LENGTH,
                exports={
                    precision: OnnxExport(
                        file=f"model.{precision}.onnx",
                        size_bytes=1,
                        max_logit_difference=0,
                        label_agreement=1,
                    )
                    for precision in exports
                },
            )
            model.manifest_json = manifest.model_dump(mode="json")
            return model.id

    return put


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def server_url(app: FastAPI) -> Iterator[str]:
    """The app behind a real server on a free port."""
    config = uvicorn.Config(app, port=0, loop="uvloop", http="httptools", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
