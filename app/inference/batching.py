"""Many requests on one model: no timer; a batch is whatever came while the cores were busy.

Runner threads share the work of a model. A free one takes all that is queued, tokenises it, sorts it by
length, cuts it into runs of little padding, and leaves what it does not run itself to the others.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, TypeVar

from prometheus_client import Gauge, Histogram

from app.core import telemetry
from app.domain.errors import Overloaded
from app.engine.tokenizing import Input
from app.inference.predictors.predictor import Predictor, Run

logger = logging.getLogger(__name__)

_WAITING = Gauge("squeeze_predict_waiting_texts", "Texts admitted and not yet predicted.")
_BATCH = Histogram("squeeze_predict_batch_texts", "Texts per batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
_PADDING = Histogram(
    "squeeze_predict_padding_ratio",
    "Fraction of padding tokens per batch.",
    buckets=(0, 0.05, 0.1, 0.2, 0.4, 0.8),
)

_PLANNED_BATCHES = 4
"""How many batches one plan looks at: more sort better, fewer keep closer to the order of arrival."""


T = TypeVar("T", bound=Sized)


@dataclass(eq=False, slots=True)
class _Entry:
    """Texts of one client. Everything but ``texts`` and ``options`` belongs to the event loop."""

    texts: Sequence[Input]
    options: Hashable
    answered: "asyncio.Future[list[Any]]"
    queued_ns: int = field(default_factory=time.time_ns)
    taken_ns: int = 0
    """When a runner began with it; the runner's, too."""
    rows: list[Any] = field(init=False)
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [None] * len(self.texts)
        self.missing = len(self.texts)


@dataclass(frozen=True, slots=True)
class _Item:
    """One text of an entry."""

    entry: _Entry
    position: int
    tokens: Sized

    def __len__(self) -> int:
        return len(self.tokens)


class BatchQueue:
    """Answers in the order of the texts; bounded; forgets those whose client has gone."""

    def __init__(self, predictor: Predictor, *, name: str, runners: int, batch: int, limit: int) -> None:
        self.predictor = predictor
        self._runners = runners
        self._batch = batch
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._is_closing = False
        self._changed = Condition()  # guards the next three
        self._entries: deque[_Entry] = deque()
        self._runs: deque[list[_Item]] = deque()
        self._is_closed = False
        self._threads = [
            Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(runners)
        ]
        for thread in self._threads:
            thread.start()

    async def predict(self, texts: Sequence[Input], options: Hashable = None) -> list[Any]:
        """What the model says of each text, run with these options.

        Raises:
            Overloaded: too many texts wait already.
        """
        self._admit(len(texts))
        pieces = deque(_pieces(texts, self._batch * _PLANNED_BATCHES))
        under_way: deque[_Entry] = deque()
        rows: list[Any] = []
        try:
            # Two pieces at a time keep the runners busy and let other clients in between.
            while pieces or under_way:
                while pieces and len(under_way) < 2:
                    under_way.append(self._submit(pieces.popleft(), options))
                rows += await under_way[0].answered
                _trace(under_way.popleft())
            return rows
        finally:
            for entry in under_way:
                entry.answered.cancel()
            self._release(len(texts))

    def close(self) -> None:
        """Take no new texts; the runners end once what was admitted is answered."""
        self._is_closing = True
        if not self._waiting:
            self._stop()

    @property
    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait for the runners of a closed queue."""
        for thread in self._threads:
            thread.join()

    def _admit(self, count: int) -> None:
        assert not self._is_closing
        # A request larger than the limit is let in alone: it would never fit otherwise.
        if self._waiting and self._waiting + count > self._limit:
            raise Overloaded(
                "prediction_queue_full",
                f"The prediction queue of this model is full ({self._waiting:,} of {self._limit:,} texts). "
                "Retry in a second.",
                waiting=self._waiting,
                limit=self._limit,
            )
        self._waiting += count
        _WAITING.inc(count)

    def _release(self, count: int) -> None:
        self._waiting -= count
        _WAITING.dec(count)
        if self._is_closing and not self._waiting:
            self._stop()

    def _stop(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _submit(self, texts: Sequence[Input], options: Hashable) -> _Entry:
        entry = _Entry(texts, options, self._loop.create_future())
        with self._changed:
            self._entries.append(entry)
            self._changed.notify()
        return entry

    def _work(self) -> None:
        while (run := self._next_run()) is not None:
            items = [item for item in run if not item.entry.answered.done()]
            if not items:
                continue
            try:
                rows = self.predictor.run(_run_of(items))
            except BaseException as error:  # noqa: BLE001 - its clients get it; a thread that ends serves nobody
                self._loop.call_soon_threadsafe(_fail, {item.entry for item in items}, error)
                continue
            self._loop.call_soon_threadsafe(_deliver, items, rows)
            _BATCH.observe(len(items))
            longest = max(map(len, items))
            _PADDING.observe(1 - sum(map(len, items)) / (longest * len(items)))

    def _next_run(self) -> list[_Item] | None:
        """A run that was left over, or the first of a new plan; None at the end."""
        while True:
            with self._changed:
                while not (self._runs or self._entries or self._is_closed):
                    self._changed.wait()
                if self._runs:
                    return self._runs.popleft()
                if not self._entries:
                    return None
                entries = self._take()
            runs = deque(self._plan(entries))
            if not runs:
                continue
            run = runs.popleft()
            if runs:
                with self._changed:
                    self._runs.extend(runs)
                    self._changed.notify(len(runs))
            return run

    def _take(self) -> list[_Entry]:
        """What is queued, up to a plan's worth."""
        taken: list[_Entry] = []
        room = self._batch * _PLANNED_BATCHES
        while self._entries and room > 0:
            entry = self._entries.popleft()
            entry.taken_ns = time.time_ns()
            taken.append(entry)
            room -= len(entry.texts)
        return taken

    def _plan(self, entries: Sequence[_Entry]) -> Iterator[list[_Item]]:
        wanted = [entry for entry in entries if not entry.answered.done()]
        try:
            tokens = iter(self.predictor.encode([text for entry in wanted for text in entry.texts]))
        except BaseException as error:  # noqa: BLE001 - as in _work; a panic of the tokenizer's is no Exception
            self._loop.call_soon_threadsafe(_fail, set(wanted), error)
            return
        by_options: dict[Hashable, list[_Item]] = {}
        for entry in wanted:
            items = by_options.setdefault(entry.options, [])
            items += [_Item(entry, position, next(tokens)) for position in range(len(entry.texts))]
        for options, items in by_options.items():
            limits = self.predictor.limits(options)
            share = math.ceil(sum(map(len, items)) / self._runners)
            yield from cut_runs(
                sorted(items, key=len),
                max_texts=self._batch,
                max_tokens=min(limits.most, max(limits.full, share)),
                start_tokens=limits.start,
            )


def cut_runs(items: Sequence[T], *, max_texts: int, max_tokens: int, start_tokens: int) -> Iterator[list[T]]:
    """Cut texts sorted by length where padding would cost more than one more run.

    Args:
        items: shortest first.
        max_texts: of one run.
        max_tokens: of one run, padding included; a single text may be longer.
        start_tokens: what one more run costs.
    """
    run: list[T] = []
    padding = 0
    for item in items:
        length = len(item)
        if run:
            padding += len(run) * (length - len(run[-1]))
            is_full = len(run) == max_texts or (len(run) + 1) * length > max_tokens
            if is_full or padding > start_tokens:
                yield run
                run, padding = [], 0
        run.append(item)
    if run:
        yield run


def _pieces(texts: Sequence[Input], size: int) -> Iterator[Sequence[Input]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def _run_of(items: Sequence[_Item]) -> Run[Any, Any]:
    return Run(
        texts=[item.tokens for item in items],
        options=items[0].entry.options,
        is_wanted=lambda number: not items[number].entry.answered.done(),
    )


def _trace(entry: _Entry) -> None:
    telemetry.record("prediction waits", entry.queued_ns, entry.taken_ns)
    telemetry.record("prediction runs", entry.taken_ns, time.time_ns())


def _deliver(items: Sequence[_Item], rows: Sequence[Any]) -> None:
    for item, row in zip(items, rows, strict=True):
        entry = item.entry
        entry.rows[item.position] = row
        entry.missing -= 1
        if not entry.missing and not entry.answered.done():
            entry.answered.set_result(entry.rows)


def _fail(entries: set[_Entry], error: BaseException) -> None:
    logger.error("a prediction failed", exc_info=error)
    if not isinstance(error, Exception):
        error = RuntimeError(f"{type(error).__name__} in a runner")
    for entry in entries:
        if not entry.answered.done():
            entry.answered.set_exception(error)
