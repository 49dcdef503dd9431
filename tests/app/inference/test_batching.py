"""How texts are put together, with a real model that can be held back."""

import asyncio
import threading
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.core.db import DEFAULT_PROJECT
from app.core.telemetry import span
from app.domain.errors import Overloaded
from app.engine.encoder import OnnxEncoder
from app.engine.tokenizing import TextTokenizer, TokenizedText
from app.inference.batching import BatchQueue
from app.inference.metrics import PredictionMetrics
from app.inference.predictors.classifier import Classifier, ScoredText
from app.inference.predictors.predictor import Run
from app.inference.scheduling import PATIENCE
from tests.app.inference.models import LABELS, Folders
from tests.collector import Collector
from tests.processes import wait_until
from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(64)]
MODEL = (DEFAULT_PROJECT, "mdl_held", "fp32")


class HeldClassifier(Classifier):
    """A real model that notes its runs and does not start one before it may."""

    def __init__(self, folder: Path) -> None:
        tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", max_length=62)
        super().__init__(OnnxEncoder(folder / "model.fp32.onnx", threads=1), tokenizer, LABELS)
        self.may_run = threading.Event()
        self.has_begun = threading.Event()
        self.runs: list[list[int]] = []
        self.error: BaseException = MemoryError("too long for this machine")

    def run(self, run: Run[TokenizedText, None]) -> list[ScoredText]:
        self.has_begun.set()
        assert self.may_run.wait(10)
        self.runs.append([len(text) for text in run.texts])
        if any(len(text) > 60 for text in run.texts):
            raise self.error
        return super().run(run)

    async def begin(self) -> None:
        """Wait until it runs: it was given what had come by then, and the rest waits."""
        assert await asyncio.to_thread(self.has_begun.wait, 10)


@pytest.fixture
def classifier(exported_folder: Folders) -> HeldClassifier:
    return HeldClassifier(exported_folder("bert"))


def queue_of(classifier: HeldClassifier, *, runners: int = 1, longest_wait_s: float = 60) -> BatchQueue:
    return BatchQueue(
        classifier,
        name="test",
        runners=runners,
        batch=8,
        limit=10_000,
        longest=62,
        metrics=PredictionMetrics(*MODEL),
        longest_wait_s=longest_wait_s,
    )


async def end(queue: BatchQueue) -> None:
    queue.close()
    await asyncio.to_thread(queue.join)
    assert not queue.is_running


def test_what_came_during_a_run_goes_together(classifier: HeldClassifier) -> None:
    async def scenario() -> None:
        queue = queue_of(classifier)
        tasks = [asyncio.create_task(queue.predict([text])) for text in TEXTS[:20]]
        await classifier.begin()  # the others wait
        classifier.may_run.set()
        await asyncio.gather(*tasks)
        await end(queue)

    asyncio.run(scenario())
    assert sum(map(len, classifier.runs)) == 20
    assert len(classifier.runs) < 15
    together = classifier.runs[1:]
    assert together == sorted(together)  # shortest first
    assert max(map(len, together)) <= 8


def test_texts_of_a_client_who_left_are_not_run(classifier: HeldClassifier) -> None:
    async def scenario() -> None:
        queue = queue_of(classifier)
        first = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        gone = asyncio.create_task(queue.predict(TEXTS[1:60]))
        stays = asyncio.create_task(queue.predict(TEXTS[60:63]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        classifier.may_run.set()
        assert len(await first) == 1
        assert len(await stays) == 3
        await end(queue)

    asyncio.run(scenario())
    assert sum(map(len, classifier.runs)) == 4


class WatchedClassifier(HeldClassifier):
    """One that looks, when it may run, who still waits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wanted: list[list[bool]] = []

    def run(self, run: Run[TokenizedText, None]) -> list[ScoredText]:
        rows = super().run(run)
        self.wanted.append([run.is_wanted(number) for number in range(len(run.texts))])
        return rows


@pytest.mark.parametrize("stays", [True, False])
def test_run_can_tell_whether_its_client_stays(exported_folder: Folders, stays: bool) -> None:
    classifier = WatchedClassifier(exported_folder("bert"))

    async def scenario() -> None:
        queue = queue_of(classifier)
        task = asyncio.create_task(queue.predict([TEXTS[0]] * 3))
        await classifier.begin()
        if not stays:
            task.cancel()
        await asyncio.sleep(0)
        classifier.may_run.set()
        await asyncio.gather(task, return_exceptions=True)
        await end(queue)

    asyncio.run(scenario())
    assert classifier.wanted == [[stays] * 3]


def test_texts_of_different_options_do_not_run_together(classifier: HeldClassifier) -> None:
    async def scenario() -> None:
        queue = queue_of(classifier)
        first = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        others = [
            asyncio.create_task(queue.predict([TEXTS[1]], option)) for option in ("none", "sigmoid") * 2
        ]
        await asyncio.sleep(0)
        classifier.may_run.set()
        await asyncio.gather(first, *others)
        await end(queue)

    asyncio.run(scenario())
    assert [len(run) for run in classifier.runs] == [1, 2, 2]


def test_long_list_lets_others_in_between(classifier: HeldClassifier) -> None:
    classifier.may_run.set()
    order: list[str] = []

    async def ask(queue: BatchQueue, name: str, texts: list[str]) -> None:
        await queue.predict(texts)
        order.append(name)

    async def scenario() -> None:
        queue = queue_of(classifier)
        many = asyncio.create_task(ask(queue, "many", TEXTS * 40))
        await asyncio.sleep(0)
        one = asyncio.create_task(ask(queue, "one", TEXTS[:1]))
        await asyncio.gather(many, one)
        await end(queue)

    asyncio.run(scenario())
    assert order == ["one", "many"]


async def learn_pace(queue: BatchQueue) -> None:
    for _ in range(8):
        await queue.predict(TEXTS[:1])


def test_a_short_text_does_not_wait_for_all_that_a_client_of_long_ones_brought(
    classifier: HeldClassifier,
) -> None:
    classifier.may_run.set()

    async def scenario() -> None:
        queue = queue_of(classifier)
        await learn_pace(queue)
        classifier.may_run.clear()
        classifier.has_begun.clear()
        classifier.runs.clear()
        many = asyncio.create_task(queue.predict([TEXTS[0] * 2] * 40))
        await classifier.begin()  # four of its runs are left over
        one = asyncio.create_task(queue.predict([TEXTS[0]]))
        await asyncio.sleep(0)
        classifier.may_run.set()
        await asyncio.gather(many, one)
        await end(queue)

    asyncio.run(scenario())
    assert [len(run) for run in classifier.runs] == [8, 1, 8, 8, 8, 8]


def test_what_would_wait_too_long_is_refused_at_once(classifier: HeldClassifier) -> None:
    classifier.may_run.set()

    async def scenario() -> None:
        queue = queue_of(classifier, longest_wait_s=1e-9)
        await learn_pace(queue)
        classifier.may_run.clear()
        classifier.has_begun.clear()
        some = [asyncio.create_task(queue.predict(TEXTS[:1])) for _ in range(PATIENCE + 1)]
        await classifier.begin()
        with pytest.raises(Overloaded, match="would wait for about") as caught:
            await queue.predict(TEXTS[:1])
        assert caught.value.code == "prediction_queue_slow"
        bulk = asyncio.create_task(queue.predict(TEXTS))  # may wait as long as a few others take
        await asyncio.sleep(0)
        classifier.may_run.set()
        assert len(await bulk) == len(TEXTS)
        await asyncio.gather(*some)
        assert len(await queue.predict(TEXTS[:1])) == 1  # nothing waits any more
        await end(queue)

    asyncio.run(scenario())


@pytest.mark.parametrize("runners", [1, 3])
def test_answers_keep_their_order(classifier: HeldClassifier, runners: int) -> None:
    classifier.may_run.set()

    async def scenario() -> None:
        queue = queue_of(classifier, runners=runners)
        alone = [(await queue.predict([text]))[0] for text in TEXTS]
        together = await queue.predict(TEXTS * 5)
        assert [row.tokens for row in together] == [row.tokens for row in alone * 5]
        assert [row.scores for row in together] == [pytest.approx(row.scores, abs=1e-6) for row in alone * 5]
        await end(queue)

    asyncio.run(scenario())


class Panic(BaseException):
    """As the libraries in Rust raise it: no ``Exception``."""


@pytest.mark.parametrize(
    ("error", "met"), [(MemoryError("too long"), MemoryError), (Panic("index"), RuntimeError)]
)
def test_failed_run_fails_its_clients_alone(
    classifier: HeldClassifier, error: BaseException, met: type[Exception]
) -> None:
    classifier.error = error

    async def scenario() -> None:
        queue = queue_of(classifier)
        first = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        failing = asyncio.create_task(queue.predict([" ".join(TEXTS), TEXTS[1]]))
        fine = asyncio.create_task(queue.predict(TEXTS[2:4]))
        await asyncio.sleep(0)
        classifier.may_run.set()
        with pytest.raises(met):
            await failing
        assert len(await first) == 1
        assert len(await fine) == 2
        assert len(await queue.predict(TEXTS[:2])) == 2
        await end(queue)

    asyncio.run(scenario())


def test_closed_queue_answers_what_it_has(classifier: HeldClassifier) -> None:
    async def scenario() -> None:
        queue = queue_of(classifier, runners=2)
        task = asyncio.create_task(queue.predict(TEXTS))
        await classifier.begin()
        queue.close()
        assert queue.is_running
        classifier.may_run.set()
        assert len(await task) == len(TEXTS)
        await asyncio.to_thread(queue.join)

    asyncio.run(scenario())


def test_a_trace_tells_waiting_from_running(classifier: HeldClassifier, collector: Collector) -> None:
    async def scenario() -> None:
        queue = queue_of(classifier)
        first = asyncio.create_task(queue.predict(TEXTS[:1]))
        await classifier.begin()
        with span("request"):
            second = asyncio.create_task(queue.predict(TEXTS[1:2]))
        classifier.may_run.set()
        await asyncio.gather(first, second)
        await end(queue)

    asyncio.run(scenario())
    spans = collector.spans()
    parts = [spans[name] for name in ("prediction waits", "prediction runs")]
    assert {part.parent_id for part in parts} == {spans["request"].span_id}
    assert all(part.seconds > 0 for part in parts)


def test_what_operators_see(classifier: HeldClassifier) -> None:
    def value(name: str, **stage: str) -> float | None:
        labels = dict(zip(("project", "model", "precision"), MODEL, strict=True))
        return REGISTRY.get_sample_value(f"squeeze_predict_{name}", labels | stage)

    async def scenario() -> None:
        queue = queue_of(classifier)
        classifier.may_run.set()
        await queue.predict(TEXTS[:12])
        # Runners count a run once its answers are on their way.
        await asyncio.to_thread(wait_until, lambda: value("tokens_total") == sum(map(sum, classifier.runs)))
        await end(queue)

    seen: dict[str, float | None] = {}
    close = PredictionMetrics.close

    def look(metrics: PredictionMetrics) -> None:
        seen.update({stage: value("seconds_count", stage=stage) for stage in ("wait", "tokenize", "run")})
        seen.update(
            {name: value(name) for name in ("batch_texts_sum", "tokens_total", "padding_ratio_count")}
        )
        close(metrics)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictionMetrics, "close", look)
        asyncio.run(scenario())
    runs = len(classifier.runs)
    assert (seen["wait"], seen["tokenize"], seen["run"], seen["padding_ratio_count"]) == (1, 1, runs, runs)
    assert (seen["batch_texts_sum"], seen["tokens_total"]) == (12, sum(map(sum, classifier.runs)))
    assert value("seconds_count", stage="run") is None, "it is not loaded any more"
