"""From a model id to its answers: which models are loaded, and when one must be looked up again."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from prometheus_client import Gauge
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.db import Database
from app.core.db.models import get_model
from app.core.outages import Outages
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents.manifest import ModelManifest
from app.domain.errors import Conflict, NotFound
from app.domain.tasks import Task
from app.engine.threads import share_threads, usable_cores
from app.engine.tokenizing import Input
from app.inference.batching import BatchQueue
from app.inference.inputs import require_inputs
from app.inference.model_files import ModelFiles
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.opening import open_predictor
from app.inference.predictors.predictor import Predictor
from app.inference.predictors.results import Result

logger = logging.getLogger(__name__)

_LOADED = Gauge("squeeze_predict_loaded_models", "Models in memory, counted per precision.")

_KEPT_PER_SESSION = 4
"""Models whose files stay at hand for each that is in memory."""


_LOADERS = 2
"""Models that load at a time."""


class _Known(NamedTuple):
    """A registry row, as it was found lately."""

    manifest: ModelManifest
    trusted_until: float


class _ModelKey(NamedTuple):
    """A model as a client of a project names it."""

    project_id: str
    model_id: str


class ServableModel(NamedTuple):
    """A model that has an export, and its row as it was found."""

    key: _ModelKey
    task: Task
    manifest: ModelManifest


class InferenceRuntime:
    """Loads models when they are first asked for and keeps those used last.

    Belongs to one event loop.
    """

    def __init__(
        self, settings: Settings, database: Database, storage: Storage, outages: Outages | None = None
    ) -> None:
        self.trusted_s = 5.0
        """How long a row is believed without another look: so long a deleted model may still answer."""
        self.patience_s = 0.5
        """How long a prediction waits for another look, where the model was there before."""
        self._settings = settings
        self._database = database
        self._files = ModelFiles(
            storage,
            settings.data_dir / "inference-cache",
            keep=_KEPT_PER_SESSION * settings.inference_sessions,
        )
        self._outages = outages or Outages()
        # Not those that look rows up: a model that is loaded would wait for others that are loading.
        self._loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")
        self._known: dict[_ModelKey, _Known] = {}
        self._loaded: OrderedDict[tuple[_ModelKey, str], BatchQueue] = OrderedDict()
        self._retired: list[BatchQueue] = []
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    async def find(self, project_id: str, model_id: str) -> ServableModel:
        """The model of an id.

        Raises:
            NotFound: the project has no such model.
            Conflict: the model has no ONNX export.
        """
        key = _ModelKey(project_id, model_id)
        asked_at = monotonic()
        known = await self._find(key)
        if not known.manifest.exports and known.trusted_until < asked_at + self.trusted_s:
            self._known.pop(
                key, None
            )  # read before this request: a job may have exported the model meanwhile
            known = await self._find(key)
        return _servable(key, known.manifest)

    async def predict(
        self,
        model: ServableModel,
        texts: Sequence[Input],
        options: Any,
        *,
        precision: str | None = None,
    ) -> list[Result]:
        """What a model says of each text.

        Answers do not depend on what else runs at the same time; those of int8 files of earlier versions do
        (``activation_scales`` of their export), by up to some hundredths.

        Args:
            model: as it was found.
            texts: texts or pairs, answered in this order.
            options: those of the predictor of the model's task.
            precision: of the export; default: fp32, where the model has it.

        Raises:
            NotFound: the model was deleted since.
            InvalidArgument: precision, options or texts do not fit the model or its task.
            Overloaded: too many texts wait for the model.
        """
        precision = _choose_precision(model.key.model_id, model.manifest, precision)
        key = (model.key, precision)
        # Between finding the queue and queueing there is no await: it cannot be retired meanwhile.
        while (queue := self._loaded.get(key)) is None:
            await self._once(key, partial(self._load, model.key, model.manifest, precision))
        self._loaded.move_to_end(key)
        require_inputs(model.manifest, texts)
        return await _answer(queue, texts, options)

    async def close(self) -> None:
        """Answer what was admitted and end the threads."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        while self._loaded:
            self._retire(next(iter(self._loaded)))
        for queue in self._retired:
            await asyncio.to_thread(queue.join)
        self._loaders.shutdown(wait=False, cancel_futures=True)

    async def _find(self, key: _ModelKey) -> _Known:
        while (known := self._trusted(key)) is None:
            look_up = self._once(key, lambda: self._look_up(key))
            if (earlier := self._known.get(key)) is None:
                await look_up
            elif not await self._is_answered(look_up):
                self._known[key] = earlier._replace(trusted_until=monotonic() + self.trusted_s)
        return known

    async def _is_answered(self, look_up: Awaitable[None]) -> bool:
        """Whether the database answers soon; a model that is loaded does not wait for one that is away."""
        try:
            async with asyncio.timeout(self.patience_s):
                await look_up
        except (TimeoutError, DBAPIError, PoolTimeout) as error:
            self._outages.report("database", str(error) or "no answer yet; loaded models go on")
            return False
        return True

    def _trusted(self, key: _ModelKey) -> _Known | None:
        known = self._known.get(key)
        now = monotonic()
        if known is None or now >= known.trusted_until:
            return None
        if now > known.trusted_until - self.trusted_s / 2:
            # Looked up again beforehand, so that no prediction of a model in use waits for it.
            self._begin(key, lambda: self._look_up(key))
        return known

    async def _once(self, key: Hashable, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do what several clients wait for one time; it goes on when one of them leaves."""
        await asyncio.shield(self._begin(key, work))

    def _begin(self, key: Hashable, work: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._end(key))
        return task

    def _end(self, key: Hashable) -> None:
        task = self._under_way.pop(key)
        if not task.cancelled():
            task.exception()  # all who asked may have left or gone on without it

    async def _look_up(self, key: _ModelKey) -> None:
        try:
            manifest = await asyncio.to_thread(self._read, key)
        except NotFound:
            self._forget(key)
            raise
        now = monotonic()
        loaded = {other for other, _ in self._loaded}
        self._known = {
            other: known
            for other, known in self._known.items()
            if other in loaded or now < known.trusted_until
        }
        self._known[key] = _Known(manifest, now + self.trusted_s)

    def _read(self, key: _ModelKey) -> ModelManifest:
        with self._database.of(key.project_id).reading() as session:
            return get_model(session, key.model_id).manifest

    def _forget(self, key: _ModelKey) -> None:
        """Stop serving a model that is gone."""
        if known := self._known.pop(key, None):
            self._files.drop(key.project_id, known.manifest.files)
        for loaded in [loaded for loaded in self._loaded if loaded[0] == key]:
            self._retire(loaded)

    async def _load(self, key: _ModelKey, manifest: ModelManifest, precision: str) -> None:
        self._make_room(self._settings.inference_sessions - 1)
        assert manifest.head is not None
        threads, runners = share_threads(
            self._settings.inference_threads or usable_cores(), manifest.architecture, manifest.head
        )
        started = monotonic()
        try:
            open_ = partial(self._open, key.project_id, manifest, precision, threads=threads)
            predictor = await asyncio.get_running_loop().run_in_executor(self._loaders, open_)
        except NotFound:
            raise NotFound("model", key.model_id) from None  # deleted since its row was read
        logger.info(
            "loaded %s %s in %.1f s: %d at once, %d threads each",
            key.model_id,
            precision,
            monotonic() - started,
            runners,
            threads,
        )
        self._loaded[key, precision] = BatchQueue(
            predictor,
            name=f"predict-{key.model_id}-{precision}",
            runners=runners,
            batch=self._settings.inference_batch,
            limit=self._settings.inference_queue,
            longest=manifest.max_length,
            longest_wait_s=self._settings.inference_wait.total_seconds(),
        )
        _LOADED.inc()
        self._make_room(self._settings.inference_sessions)

    def _open(self, project_id: str, manifest: ModelManifest, precision: str, *, threads: int) -> Predictor:
        fetch = partial(self._files.fetch, project_id, manifest.files)
        return open_predictor(manifest, precision, fetch=fetch, threads=threads)

    def _make_room(self, sessions: int) -> None:
        while len(self._loaded) > sessions:
            self._retire(next(iter(self._loaded)))

    def _retire(self, key: tuple[_ModelKey, str]) -> None:
        queue = self._loaded.pop(key)
        queue.close()
        self._retired = [other for other in self._retired if other.is_running] + [queue]
        _LOADED.dec()


async def _answer(queue: BatchQueue, texts: Sequence[Input], options: Any) -> list[Result]:
    predictor = queue.predictor
    rows = await queue.predict(texts, predictor.run_options(texts, options))
    return [predictor.result(row, options) for row in rows]


def _servable(key: _ModelKey, manifest: ModelManifest) -> ServableModel:
    if manifest.task is None or not manifest.exports:
        raise Conflict(
            "model_not_servable",
            f"Model {key.model_id} has no ONNX export, because it was uploaded or has no task head. Run a "
            "job with it as teacher (fine_tuning keeps its size); the student of a job can be served.",
            id=key.model_id,
        )
    return ServableModel(key, manifest.task, manifest)


def _choose_precision(model_id: str, manifest: ModelManifest, wanted: str | None) -> str:
    available = sorted(manifest.exports)
    if wanted is None:
        return "fp32" if "fp32" in available else available[0]
    if wanted not in available:
        raise InvalidArgument(
            "precision_not_available",
            f"Model {model_id} is available in {' and '.join(available)}, not in {wanted[:50]!r}.",
            argument="precision",
            available=available,
        )
    return wanted
