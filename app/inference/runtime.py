"""From a model id to its answers: which models are loaded, and when one must be looked up again."""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import random
from time import monotonic
from typing import Any, NamedTuple

from app.core.db import Database
from app.core.db.endpoints import get_endpoint, is_endpoint_name
from app.core.db.models import Model, get_model, list_models
from app.core.outages import Outages
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.documents import Precision
from app.domain.documents.endpoint_target import EndpointTarget, ServedExport
from app.domain.documents.manifest import ModelManifest
from app.domain.errors import Conflict, NotFound, SqueezeError
from app.domain.tasks import Task
from app.engine.memory import give_back_memory
from app.engine.threads import share_threads, usable_cores
from app.engine.tokenizing import Input
from app.inference.answer_cache import AnswerCache, ServedContent
from app.inference.batching import BatchQueue
from app.inference.inputs import require_inputs
from app.inference.known_rows import Freshness, KnownRows
from app.inference.metrics import LOADED, PredictionMetrics, answered_by_cascade
from app.inference.model_files import ModelFiles
from app.inference.predictors.opening import open_predictor
from app.inference.predictors.predictor import Predictor
from app.inference.predictors.results import RankedLabels, Result
from app.inference.servable import choose_precision, served_task
from app.inference.shadow import Shadow, ShadowAgreement, ShadowText, ShadowTraffic
from app.inference.single_flight import SingleFlight
from app.inference.timing import RequestTiming

logger = logging.getLogger(__name__)

_KEPT_PER_SESSION = 4
"""Models whose files stay at hand for each that is in memory."""


_LOADERS = 2
"""Models that load at a time."""

_LISTED_AT_ONCE = 100
"""Rows of a page."""


class _Named(NamedTuple):
    """A model by its id, or an endpoint by its name, as a client of a project names it."""

    project_id: str
    name: str


class ServableModel(NamedTuple):
    """A model that has an export, and its row as it was found."""

    key: _Named
    task: Task
    manifest: ModelManifest
    precision: Precision | None = None
    """Of the export that its endpoint names."""
    fallback: "_Fallback | None" = None
    shadow: Shadow | None = None
    """Of an endpoint, for the share of requests that it gets."""


class _Fallback(NamedTuple):
    """Who answers where a model is not sure."""

    endpoint: str
    model: ServableModel
    threshold: float
    """Probability of its best label from which a model is sure."""


class ListedModel(NamedTuple):
    """A model of a project, as a list shows it."""

    model_id: str
    why_not: str
    """It cannot be asked; empty where it can."""


class InferenceRuntime:
    """Loads models when they are first asked for and keeps those used last.

    Belongs to one event loop.
    """

    def __init__(
        self, settings: Settings, database: Database, storage: Storage, outages: Outages | None = None
    ) -> None:
        self.freshness = Freshness()
        self._settings = settings
        self._database = database
        self._files = ModelFiles(
            storage,
            settings.data_dir / "inference-cache",
            keep=_KEPT_PER_SESSION * settings.inference_sessions,
        )
        # Not those that look rows up: a model that is loaded would wait for others that are loading.
        self._loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")
        self._releaser = ThreadPoolExecutor(1, thread_name_prefix="release")
        self._loads = SingleFlight()
        self._loaded: OrderedDict[tuple[_Named, str], BatchQueue] = OrderedDict()
        self._pinned: set[tuple[_Named, str]] = set()
        self._cache = AnswerCache(settings.inference_cache_bytes)
        outages = outages or Outages()
        self._models = KnownRows(
            self._read,
            freshness=self.freshness,
            outages=outages,
            is_kept=lambda key, _: self._is_loaded(key),
            forget=self._forget,
        )
        self._endpoints = KnownRows(
            self._read_endpoint,
            freshness=self.freshness,
            outages=outages,
            is_kept=self._is_loaded_for,
        )
        self._shadows = ShadowTraffic(self._ask_shadow, is_busy=self._is_busy)

    async def find(self, project_id: str, name: str) -> ServableModel:
        """The model of an id, or one that an endpoint of this name stands for.

        Raises:
            NotFound: the project has no such model or endpoint.
            Conflict: the model has no ONNX export.
        """
        if not is_endpoint_name(name):
            return await self._find_export(project_id, ServedExport(name, None))
        target = await self._endpoints.find(_Named(project_id, name))
        export = target.chosen(random())  # noqa: S311 - shares traffic, hides nothing
        model = await self._find_export(project_id, export)
        if export.shadow is not None and random() < export.shadow.share:  # noqa: S311 - likewise
            other = ServedExport(export.shadow.model, export.shadow.precision)
            model = model._replace(shadow=Shadow(project_id, name, export.model, other))
        if export.fallback is None:
            return model
        second = ServedExport(export.fallback.model, export.fallback.precision)
        precision = choose_precision(export.model, model.manifest, export.precision)
        cascade = model.manifest.exports[precision].cascade
        # A row from before the endpoint's may be known still: until it is read again the teacher answers.
        threshold = math.inf if cascade is None else cascade.threshold(export.fallback.retain)
        fallback = _Fallback(name, await self._find_export(project_id, second), threshold)
        return model._replace(fallback=fallback)

    async def _find_export(self, project_id: str, export: ServedExport) -> "ServableModel":
        name = export.model
        key = _Named(project_id, name)
        asked_at = monotonic()
        manifest = await self._models.find(key)
        is_withheld = manifest.gate is not None and manifest.gate.is_withheld
        if not manifest.exports or is_withheld:  # exported by a job, or released, since the row was read
            manifest = await self._models.find(key, read_after=asked_at)
        return ServableModel(key, served_task(name, manifest), manifest, export.precision)

    async def predict(
        self,
        model: ServableModel,
        texts: Sequence[Input],
        options: Any,
        *,
        precision: str | None = None,
        timing: RequestTiming | None = None,
    ) -> list[Result]:
        """What a model says of each text.

        Answers do not depend on what else runs at the same time; those of int8 files of earlier versions do
        (``activation_scales`` of their export), by up to some hundredths.

        Args:
            model: as it was found.
            texts: texts or pairs, answered in this order.
            options: those of the predictor of the model's task.
            precision: of the export; default: the endpoint's, or fp32, where the model has it.
            timing: of the request; is told what it took.

        Raises:
            NotFound: the model was deleted since.
            InvalidArgument: precision, options or texts do not fit the model or its task.
            Overloaded: too many texts wait for the model, or until the deadline it would not be its turn.
        """
        timing = timing or RequestTiming()
        precision = choose_precision(model.key.name, model.manifest, precision or model.precision)
        queue = await self._queue(model, precision)
        require_inputs(model.manifest, texts)
        run_options = queue.predictor.run_options(texts, options)
        content = ServedContent(model.key.project_id, model.manifest.files.digest, precision)
        run = partial(queue.predict, options=run_options, timing=timing)
        rows = await self._cache.rows(content, texts, run_options, run)
        results = [queue.predictor.result(row, options) for row in rows]
        if model.fallback is not None:
            results = await self._with_fallback(model, model.fallback, texts, options, results, timing)
        if model.shadow is not None:
            self._shadows.add(model.shadow, texts, options, results)
        return results

    async def _with_fallback(
        self,
        model: ServableModel,
        fallback: _Fallback,
        texts: Sequence[Input],
        options: Any,
        results: Sequence[Result],
        timing: RequestTiming,
    ) -> list[Result]:
        """The model's results, those that it is not sure of in the words of the fallback."""
        answers = [
            result._replace(model=model.key.name) for result in results if isinstance(result, RankedLabels)
        ]
        doubtful = [number for number, answer in enumerate(answers) if answer.confidence < fallback.threshold]
        answered_by_cascade(
            model.key.project_id,
            fallback.endpoint,
            student=len(texts) - len(doubtful),
            fallback=len(doubtful),
        )
        if doubtful:
            asked = [texts[number] for number in doubtful]
            second = await self.predict(fallback.model, asked, options, timing=timing)
            for number, result in zip(doubtful, second, strict=True):
                assert isinstance(result, RankedLabels)
                answers[number] = result._replace(model=fallback.model.key.name)
        return list(answers)

    async def load(
        self, model: ServableModel, *, precision: str | None = None, is_pinned: bool = False
    ) -> None:
        """Have a model in memory before it is asked; other arguments and errors as ``predict``.

        Args:
            model: as it was found.
            precision: of the export.
            is_pinned: whether it stays until it is unloaded.

        Raises:
            Conflict: as many models are pinned as may be.
        """
        precision = choose_precision(model.key.name, model.manifest, precision or model.precision)
        key = (model.key, precision)
        if is_pinned:
            self._pin(key)
        try:
            await self._queue(model, precision)
        except BaseException:
            self._pinned.discard(key)
            raise

    def unload(self, model: ServableModel) -> None:
        """Let a model leave the memory once what was admitted is answered, until it is asked again."""
        self._unload(model.key)

    def shadow_agreement(self, project_id: str, endpoint: str) -> ShadowAgreement | None:
        """How far an endpoint's model and its shadow have said the same, if they have been compared."""
        return self._shadows.agreement(project_id, endpoint)

    async def models(self, project_id: str) -> list[ListedModel]:
        """All models of a project, newest first."""
        return await asyncio.to_thread(self._list, project_id)

    async def close(self) -> None:
        """Answer what was admitted and end the threads."""
        for under_way in (self._shadows, self._models, self._endpoints, self._loads):
            await under_way.close()
        while self._loaded:
            self._retire(next(iter(self._loaded)))
        await asyncio.to_thread(self._releaser.shutdown)
        self._loaders.shutdown(wait=False, cancel_futures=True)

    async def _queue(self, model: ServableModel, precision: str) -> BatchQueue:
        """That of a model, loaded if need be; it cannot be retired before the next await."""
        key = (model.key, precision)
        while (queue := self._loaded.get(key)) is None:
            await self._loads.once(key, partial(self._load, model.key, model.manifest, precision))
        self._loaded.move_to_end(key)
        return queue

    async def _ask_shadow(self, asked: ShadowText) -> Result | None:
        """What the shadow says of a text; None where another model would have to leave the memory for it."""
        model = await self._find_export(asked.shadow.project_id, asked.shadow.export)
        if not self._is_loaded(model.key) and len(self._loaded) >= self._settings.inference_sessions:
            return None
        [result] = await self.predict(model, [asked.text], asked.options)
        for loaded in [loaded for loaded in self._loaded if loaded[0] == model.key]:
            self._loaded.move_to_end(loaded, last=False)  # the first to leave for a model that answers
        return result

    def _is_busy(self) -> bool:
        return any(queue.is_busy for queue in self._loaded.values())

    def _list(self, project_id: str) -> list[ListedModel]:
        listed: list[ListedModel] = []
        with self._database.of(project_id).reading() as session:
            while True:
                after = listed[-1].model_id if listed else None
                page = list_models(session, limit=_LISTED_AT_ONCE, after=after)
                listed += map(_listed, page)
                if len(page) < _LISTED_AT_ONCE:
                    return listed

    def _read(self, key: _Named) -> ModelManifest:
        with self._database.of(key.project_id).reading() as session:
            return get_model(session, key.name).manifest

    def _read_endpoint(self, key: _Named) -> EndpointTarget:
        with self._database.of(key.project_id).reading() as session:
            return get_endpoint(session, key.name).target

    def _is_loaded(self, key: _Named) -> bool:
        return any(loaded == key for loaded, _ in self._loaded)

    def _is_loaded_for(self, endpoint: _Named, target: EndpointTarget) -> bool:
        return any(self._is_loaded(_Named(endpoint.project_id, model)) for model in target.models)

    def _forget(self, key: _Named, manifest: ModelManifest) -> None:
        """Stop serving a model that is gone."""
        self._files.drop(key.project_id, manifest.files)
        self._unload(key)

    async def _load(self, key: _Named, manifest: ModelManifest, precision: str) -> None:
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
            raise NotFound("model", key.name) from None  # deleted since its row was read
        logger.info(
            "loaded %s %s in %.1f s: %d at once, %d threads each",
            key.name,
            precision,
            monotonic() - started,
            runners,
            threads,
        )
        self._loaded[key, precision] = BatchQueue(
            predictor,
            name=f"predict-{key.name}-{precision}",
            runners=runners,
            batch=self._settings.inference_batch,
            limit=self._settings.inference_queue,
            longest=manifest.max_length,
            longest_wait_s=self._settings.inference_wait.total_seconds(),
            metrics=PredictionMetrics(key.project_id, key.name, precision),
        )
        LOADED.inc()
        self._make_room(self._settings.inference_sessions)

    def _open(self, project_id: str, manifest: ModelManifest, precision: str, *, threads: int) -> Predictor:
        fetch = partial(self._files.fetch, project_id, manifest.files)
        return open_predictor(manifest, precision, fetch=fetch, threads=threads)

    def _pin(self, key: tuple[_Named, str]) -> None:
        most = self._settings.inference_sessions // 2  # the others are for whatever else is asked
        if key not in self._pinned and len(self._pinned) >= most:
            raise Conflict(
                "too_many_pinned_models",
                f"{most} models are pinned, half of those that may be in memory. Unload one of them first.",
                maximum=most,
            )
        self._pinned.add(key)

    def _make_room(self, sessions: int) -> None:
        while len(self._loaded) > sessions:
            self._retire(next(key for key in self._loaded if key not in self._pinned))

    def _unload(self, key: _Named) -> None:
        for loaded in [loaded for loaded in self._loaded if loaded[0] == key]:
            self._retire(loaded)

    def _retire(self, key: tuple[_Named, str]) -> None:
        queue = self._loaded.pop(key)
        self._pinned.discard(key)
        queue.close()
        LOADED.dec()
        self._releaser.submit(queue.join)  # what it has admitted is still answered
        self._releaser.submit(give_back_memory)


def _listed(row: Model) -> ListedModel:
    try:
        served_task(row.id, row.manifest)
    except SqueezeError as error:  # it has no export, or this version cannot read it
        return ListedModel(row.id, error.message)
    return ListedModel(row.id, "")
