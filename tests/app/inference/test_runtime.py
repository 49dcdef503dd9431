"""Which models are in memory, seen at the runtime itself."""

import asyncio
import logging
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import OperationalError

from app.core.db import DEFAULT_PROJECT, Database, ProjectDatabase, ProjectReadSession
from app.core.db.models import Model
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.errors import Conflict, NotFound, Overloaded
from app.inference.batching import BatchQueue
from app.inference.predictors.classifier import ClassificationOptions
from app.inference.predictors.errors import InvalidArgument
from app.inference.predictors.results import LabelScore
from app.inference.runtime import InferenceRuntime
from tests.app.inference.conftest import Register
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(8)]
T = TypeVar("T")

Session = Callable[[Callable[[InferenceRuntime], Awaitable[T]]], T]


@pytest.fixture
def run(settings: Settings, inference_database: Database, storage: Storage) -> Session[T]:
    """Run a test's coroutine with a runtime that is closed at its end."""

    def run_with(scenario: Callable[[InferenceRuntime], Awaitable[T]]) -> T:
        async def main() -> T:
            runtime = InferenceRuntime(settings, inference_database, storage)
            try:
                return await scenario(runtime)
            finally:
                await runtime.close()

        return asyncio.run(main())

    return run_with


@pytest.fixture
def loads(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The models loaded so far, in order."""
    with caplog.at_level(logging.INFO, "app.inference.runtime"):
        yield lambda: [str(record.args[0]) for record in caplog.records if record.msg.startswith("loaded")]


async def ask(
    runtime: InferenceRuntime, model_id: str, texts: list[str], precision: str | None = None
) -> list[list[LabelScore]]:
    model = await runtime.find(DEFAULT_PROJECT, model_id)
    results = await runtime.predict(model, texts, ClassificationOptions(), precision=precision)
    return [list(result.labels) for result in results]


def loaded_models() -> float:
    return REGISTRY.get_sample_value("squeeze_predict_loaded_models") or 0


def test_first_requests_load_a_model_once(
    run: Session[None], register: Register, loads: Callable[[], list[str]]
) -> None:
    model_id = register()

    async def scenario(runtime: InferenceRuntime) -> None:
        answers = await asyncio.gather(*(ask(runtime, model_id, [TEXTS[0]]) for _ in range(20)))
        assert all(answer == answers[0] for answer in answers)

    run(scenario)
    assert loads() == [model_id]


def test_load_goes_on_when_its_first_client_leaves(
    run: Session[None], register: Register, loads: Callable[[], list[str]]
) -> None:
    model_id = register()

    async def scenario(runtime: InferenceRuntime) -> None:
        first = asyncio.create_task(ask(runtime, model_id, [TEXTS[0]]))
        second = asyncio.create_task(ask(runtime, model_id, [TEXTS[0]]))
        await asyncio.sleep(0)
        first.cancel()
        assert await second

    run(scenario)
    assert loads() == [model_id]


def test_a_model_that_was_exported_since_is_served_at_once(
    run: Session[None], register: Register, inference_database: Database
) -> None:
    """Though what the runtime read before is still trusted."""
    exported, model_id = register(), register(exports=())

    def export() -> None:
        with inference_database.of(DEFAULT_PROJECT).transaction() as session:
            session.get_one(Model, model_id).manifest_json = session.get_one(Model, exported).manifest_json

    async def scenario(runtime: InferenceRuntime) -> None:
        with pytest.raises(Conflict):
            await ask(runtime, model_id, TEXTS)
        await asyncio.to_thread(export)
        assert len(await ask(runtime, model_id, TEXTS)) == len(TEXTS)

    run(scenario)


class TestFewSessions:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"inference_sessions": 2})

    def test_the_model_used_longest_ago_makes_room(
        self, run: Session[None], register: Register, loads: Callable[[], list[str]]
    ) -> None:
        first, second, third = register(), register(), register()

        async def scenario(runtime: InferenceRuntime) -> None:
            for model_id in (first, second, first, third):
                await ask(runtime, model_id, [TEXTS[0]])
                assert loaded_models() <= 2
            await ask(runtime, first, [TEXTS[0]])
            assert loads() == [first, second, third]
            await ask(runtime, second, [TEXTS[0]])
            assert loads() == [first, second, third, second]

        run(scenario)
        assert loaded_models() == 0

    def test_precisions_count_each(
        self, run: Session[None], register: Register, loads: Callable[[], list[str]]
    ) -> None:
        model_id, other = register(), register()

        async def scenario(runtime: InferenceRuntime) -> None:
            for precision in ("fp32", "int8"):
                await ask(runtime, model_id, [TEXTS[0]], precision=precision)
            await ask(runtime, other, [TEXTS[0]])
            await ask(runtime, model_id, [TEXTS[0]], precision="int8")

        run(scenario)
        assert loads() == [model_id, model_id, other]

    def test_more_models_than_sessions_all_answer(self, run: Session[None], register: Register) -> None:
        models = [register() for _ in range(4)]

        async def scenario(runtime: InferenceRuntime) -> None:
            expected = {model_id: await ask(runtime, model_id, TEXTS) for model_id in models}
            for _ in range(3):
                answers = await asyncio.gather(*(ask(runtime, model_id, TEXTS) for model_id in models))
                assert [[len(answer) for answer in one] for one in answers] == [[3] * len(TEXTS)] * 4
                assert dict(zip(models, answers, strict=True)).keys() == expected.keys()

        run(scenario)

    def test_retired_model_answers_what_it_was_asked(self, run: Session[None], register: Register) -> None:
        models = [register() for _ in range(3)]

        async def scenario(runtime: InferenceRuntime) -> None:
            await ask(runtime, models[0], [TEXTS[0]])
            long = asyncio.create_task(ask(runtime, models[0], TEXTS * 100))
            await asyncio.sleep(0)
            for model_id in models[1:]:
                await ask(runtime, model_id, [TEXTS[0]])
            assert len(await long) == len(TEXTS) * 100

        run(scenario)


class TestFullQueue:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"inference_queue": 4})

    def test_refuses_what_does_not_fit(self, run: Session[None], register: Register) -> None:
        model_id = register()

        async def scenario(runtime: InferenceRuntime) -> None:
            await ask(runtime, model_id, [TEXTS[0]])
            results = await asyncio.gather(
                *(ask(runtime, model_id, TEXTS[:3]) for _ in range(3)), return_exceptions=True
            )
            assert [isinstance(result, Overloaded) for result in results] == [False, True, True]
            assert len(await ask(runtime, model_id, TEXTS[:3])) == 3

        run(scenario)

    def test_lets_a_request_larger_than_itself_in_alone(self, run: Session[None], register: Register) -> None:
        model_id = register()

        async def scenario(runtime: InferenceRuntime) -> None:
            assert len(await ask(runtime, model_id, TEXTS)) == len(TEXTS)

        run(scenario)


def test_an_error_names_the_argument_and_no_place_in_a_request(
    run: Session[None], register: Register
) -> None:
    model_id = register()

    async def scenario(runtime: InferenceRuntime) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await ask(runtime, model_id, [TEXTS[0]], precision="fp8")
        assert (caught.value.argument, caught.value.pointer) == ("precision", None)

    run(scenario)


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_loaded_models_answer_without_the_database(
    run: Session[None],
    register: Register,
    inference_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    model_id, other = register(), register()
    asked, is_back = threading.Event(), threading.Event()
    read = ProjectDatabase.reading

    @contextmanager
    def away(database: ProjectDatabase) -> Iterator[ProjectReadSession]:
        asked.set()
        if how == "hangs":
            assert is_back.wait(30)
        if not is_back.is_set():
            raise OperationalError("select", {}, Exception("gone"))
        with read(database) as session:
            yield session

    async def scenario(runtime: InferenceRuntime) -> None:
        runtime.freshness.trusted_s = runtime.freshness.patience_s = 0.05
        before = await ask(runtime, model_id, [TEXTS[0]])
        monkeypatch.setattr(ProjectDatabase, "reading", away)
        for _ in range(3):
            assert await ask(runtime, model_id, [TEXTS[0]]) == before
            await asyncio.sleep(0.06)
        assert asked.is_set()
        if how == "fails":
            with pytest.raises(OperationalError):
                await ask(runtime, other, [TEXTS[0]])
        is_back.set()
        with inference_database.transaction() as session:
            session.delete(session.get(Model, model_id))
        await asyncio.sleep(0.06)
        with pytest.raises(NotFound):
            await ask(runtime, model_id, [TEXTS[0]])

    run(scenario)
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_a_model_in_use_does_not_wait_for_its_row(
    run: Session[None], register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = register()
    asked, may_answer = threading.Event(), threading.Event()
    read = ProjectDatabase.reading

    @contextmanager
    def slow(database: ProjectDatabase) -> Iterator[ProjectReadSession]:
        asked.set()
        assert may_answer.wait(30)
        with read(database) as session:
            yield session

    async def scenario(runtime: InferenceRuntime) -> None:
        before = await ask(runtime, model_id, [TEXTS[0]])
        monkeypatch.setattr(ProjectDatabase, "reading", slow)
        runtime.freshness.trusted_s *= 2  # its row is in the second half of its time
        assert await ask(runtime, model_id, [TEXTS[0]]) == before
        assert await asyncio.to_thread(asked.wait, 10)
        may_answer.set()

    run(scenario)


def test_deleted_model_leaves_memory(
    run: Session[None], register: Register, inference_database: Database
) -> None:
    model_id = register()

    async def ask_again_and_again(runtime: InferenceRuntime) -> None:
        while True:  # until its row is looked at once more
            await ask(runtime, model_id, [TEXTS[0]])

    async def scenario(runtime: InferenceRuntime) -> None:
        runtime.freshness.trusted_s = 0.01
        await ask(runtime, model_id, [TEXTS[0]])
        assert loaded_models() == 1
        with inference_database.transaction() as session:
            session.delete(session.get_one(Model, model_id))
        with pytest.raises(NotFound):
            await ask_again_and_again(runtime)
        assert loaded_models() == 0

    run(scenario)


def test_memory_is_given_back_once_a_model_has_left_it(
    run: Session[None], settings: Settings, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.inference_sessions = 1
    queues: list[weakref.ref[BatchQueue]] = []
    left: list[bool] = []
    monkeypatch.setattr(
        "app.inference.runtime.give_back_memory", lambda: left.append(queues[len(left)]() is None)
    )
    join = BatchQueue.join

    def remember(queue: BatchQueue) -> None:
        queues.append(weakref.ref(queue))
        join(queue)

    monkeypatch.setattr(BatchQueue, "join", remember)
    models = [register(), register()]

    async def scenario(runtime: InferenceRuntime) -> None:
        for model_id in models:
            await ask(runtime, model_id, [TEXTS[0]])

    run(scenario)
    assert left == [True, True]


def test_row_is_not_read_for_every_request(
    run: Session[None], register: Register, inference_database: Database
) -> None:
    model_id = register()

    async def scenario(runtime: InferenceRuntime) -> None:
        await ask(runtime, model_id, [TEXTS[0]])
        with inference_database.transaction() as session:
            session.delete(session.get_one(Model, model_id))
        assert await ask(runtime, model_id, [TEXTS[0]])  # within the seconds that a row is trusted

    run(scenario)


def test_damaged_copy_is_fetched_again(run: Session[None], register: Register, settings: Settings) -> None:
    model_id = register()

    async def scenario(runtime: InferenceRuntime) -> None:
        assert await ask(runtime, model_id, [TEXTS[0]])

    run(scenario)
    (copy,) = (settings.data_dir / "inference-cache").rglob("model.fp32.onnx")
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    run(scenario)
    assert copy.read_bytes() == whole
    assert [path for path in copy.parent.iterdir() if path.name.count(".") > 2] == []


def test_files_are_cached_by_content(run: Session[None], register: Register, settings: Settings) -> None:
    first, second = register(), register()

    async def scenario(runtime: InferenceRuntime) -> None:
        await ask(runtime, first, [TEXTS[0]])
        await ask(runtime, second, [TEXTS[0]])

    run(scenario)
    folders: list[Path] = list((settings.data_dir / "inference-cache").iterdir())
    assert len(folders) == 1
