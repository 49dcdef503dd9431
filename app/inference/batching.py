"""Many requests on one model: no timer; a batch is whatever came while the cores were busy.

Runner threads share the work of a model. A free one takes what is queued, tokenises it, sorts it by length
and cuts it into runs of little padding; then it takes the run whose turn it is, cheap ones first.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread
from typing import Any, Final

from app.core import telemetry
from app.domain.errors import Overloaded
from app.engine.tokenizing import Input
from app.inference.metrics import WAITING, PredictionMetrics
from app.inference.predictors.predictor import Predictor, Run
from app.inference.scheduling import PATIENCE, Backlog, Pace, cut_runs, due_at, expected_tokens
from app.inference.timing import RequestTiming

logger = logging.getLogger(__name__)

_PLANNED_BATCHES = 4
"""How many batches one plan looks at: more sort better, fewer keep closer to the order of arrival."""

_PLANNED_TOKENS: Final = 4096
"""Likewise, of long texts: whoever comes meanwhile waits until they are tokenised."""


@dataclass(eq=False, slots=True)
class _Entry:
    """Texts of one client. What is said when it is made is for all threads, the rest for the event loop."""

    texts: Sequence[Input]
    options: Hashable
    tokens: int
    """About as many as its texts have."""
    answered: "asyncio.Future[list[Any]]"
    queued_ns: int = field(default_factory=time.time_ns)
    queued_s: float = field(default_factory=time.monotonic)
    taken_ns: int = 0
    """When a runner began with it; the runner's, too."""
    tokenize_s: float = 0.0
    """Likewise: what the batch took in which its texts were tokenized."""
    run_s: float = 0.0
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
    """Answers in the order of the texts; bounded; forgets those whose client has gone.

    Args:
        predictor: the model.
        name: of the threads.
        runners: runs at a time.
        batch: texts of a run at most.
        limit: texts that may wait.
        longest: tokens at which the model cuts texts.
        longest_wait_s: how long a request may have to wait for its turn; what takes long itself may wait for
            ``PATIENCE`` times as long as it takes.
        metrics: are told of what it does.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        name: str,
        runners: int,
        batch: int,
        limit: int,
        longest: int,
        longest_wait_s: float,
        metrics: PredictionMetrics,
    ) -> None:
        self.predictor = predictor
        self._runners = runners
        self._batch = batch
        self._limit = limit
        self._longest = longest
        self._longest_wait_s = longest_wait_s
        self._metrics = metrics
        self._pace = Pace()
        self._backlog = Backlog()
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._is_closing = False
        self._changed = Condition()  # guards the next four
        self._entries: list[tuple[float, int, _Entry]] = []
        self._runs: list[tuple[float, int, list[_Item]]] = []
        self._numbers = count()
        self._is_closed = False
        self._threads = [
            Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(runners)
        ]
        for thread in self._threads:
            thread.start()

    async def predict(
        self, texts: Sequence[Input], options: Hashable = None, timing: RequestTiming | None = None
    ) -> list[Any]:
        """What the model says of each text, run with these options.

        Args:
            texts: of one request.
            options: those of the predictor for a run.
            timing: of the request; is told what it took.

        Raises:
            Overloaded: too many texts wait already, or they would have to wait too long.
        """
        timing = timing or RequestTiming()
        reads_whole = self.predictor.limits(options).reads_whole
        pieces = deque(self._pieces(texts, longest=None if reads_whole else self._longest))
        tokens = [piece_tokens for _, piece_tokens in pieces]
        self._admit(len(texts), sum(tokens), timing.left_s)
        began_s = time.monotonic()
        worked_s = 0.0
        for piece_tokens in tokens:
            self._backlog.add(piece_tokens)
        under_way: deque[_Entry] = deque()
        rows: list[Any] = []
        answered = 0
        try:
            # Two pieces at a time keep the runners busy and let other clients in between.
            while pieces or under_way:
                while pieces and len(under_way) < 2:
                    under_way.append(self._submit(*pieces.popleft(), options))
                rows += await under_way[0].answered
                self._backlog.remove(tokens[answered])
                answered += 1
                entry = under_way.popleft()
                _trace(entry)
                timing.tokenize_s += entry.tokenize_s
                timing.run_s += entry.run_s
                worked_s += entry.tokenize_s + entry.run_s
            timing.queue_s += max(0.0, time.monotonic() - began_s - worked_s)
            return rows
        finally:
            for entry in under_way:
                entry.answered.cancel()
            for piece_tokens in tokens[answered:]:
                self._backlog.remove(piece_tokens)
            self._release(len(texts))

    def close(self) -> None:
        """Take no new texts; the runners end once what was admitted is answered."""
        self._is_closing = True
        self._metrics.close()
        if not self._waiting:
            self._stop()

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._waiting > 0

    @property
    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait for the runners of a closed queue."""
        for thread in self._threads:
            thread.join()

    def _admit(self, texts: int, tokens: int, left_s: float) -> None:
        assert not self._is_closing
        # A request larger than the limit is let in alone: it would never fit otherwise.
        if self._waiting and self._waiting + texts > self._limit:
            raise Overloaded(
                "prediction_queue_full",
                f"The prediction queue of this model is full ({self._waiting:,} of {self._limit:,} texts). "
                "Retry in a second.",
                waiting=self._waiting,
                limit=self._limit,
            )
        a_runner_s = self._pace.seconds / self._runners
        wait_s = self._backlog.ahead_of(tokens) * a_runner_s
        if wait_s > min(left_s, max(self._longest_wait_s, PATIENCE * tokens * a_runner_s)):
            raise Overloaded(
                "prediction_queue_slow",
                f"This request would wait for about {wait_s:.1f} s until it is its turn. Retry in a second.",
                wait_s=round(wait_s, 1),
            )
        self._waiting += texts
        WAITING.inc(texts)

    def _release(self, texts: int) -> None:
        self._waiting -= texts
        WAITING.dec(texts)
        if self._is_closing and not self._waiting:
            self._stop()

    def _stop(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _pieces(
        self, texts: Sequence[Input], *, longest: int | None
    ) -> Iterator[tuple[Sequence[Input], int]]:
        """Parts that are planned as wholes, and about how many tokens each has."""
        start = tokens = 0
        for end, text in enumerate(texts):
            more = expected_tokens(text, longest=longest)
            is_full = end - start == self._batch * _PLANNED_BATCHES or tokens + more > _PLANNED_TOKENS
            if is_full and end > start:
                yield texts[start:end], tokens
                start, tokens = end, 0
            tokens += more
        yield texts[start:], tokens

    def _submit(self, texts: Sequence[Input], tokens: int, options: Hashable) -> _Entry:
        entry = _Entry(texts, options, tokens, self._loop.create_future())
        due_s = due_at(entry.queued_s, tokens=tokens, pace=self._pace)
        with self._changed:
            heappush(self._entries, (due_s, next(self._numbers), entry))
            self._changed.notify()
        return entry

    def _work(self) -> None:
        while (run := self._next_run()) is not None:
            items = [item for item in run if not item.entry.answered.done()]
            if not items:
                continue
            tokens, padded_tokens = sum(map(len, items)), max(map(len, items)) * len(items)
            started_s = time.monotonic()
            try:
                rows = self.predictor.run(_run_of(items))
            except BaseException as error:  # noqa: BLE001 - its clients get it; a thread that ends serves nobody
                self._loop.call_soon_threadsafe(_fail, {item.entry for item in items}, error)
                continue
            took_s = time.monotonic() - started_s
            self._loop.call_soon_threadsafe(_deliver, items, rows, took_s)
            self._pace.learn(took_s, padded_tokens)
            self._metrics.took("run", took_s)
            self._metrics.ran(texts=len(items), tokens=tokens, padded_tokens=padded_tokens)

    def _next_run(self) -> list[_Item] | None:
        """The run whose turn it is, once what is queued is planned; None at the end."""
        while True:
            with self._changed:
                while not (self._runs or self._entries or self._is_closed):
                    self._changed.wait()
                entries = self._take()
            planned = [(self._due_s(run), run) for run in self._plan(entries)] if entries else []
            with self._changed:
                for due_s, run in planned:
                    heappush(self._runs, (due_s, next(self._numbers), run))
                self._changed.notify(len(planned))
                # One plan a run: whoever keeps sending would otherwise keep what is planned from running.
                if self._runs:
                    return heappop(self._runs)[-1]
                if self._is_closed and not self._entries:
                    return None

    def _due_s(self, run: Sequence[_Item]) -> float:
        queued_s = min(item.entry.queued_s for item in run)
        return due_at(queued_s, tokens=len(run) * max(map(len, run)), pace=self._pace)

    def _take(self) -> list[_Entry]:
        """What is queued, up to a plan's worth."""
        taken: list[_Entry] = []
        texts, tokens = self._batch * _PLANNED_BATCHES, _PLANNED_TOKENS
        while self._entries and texts > 0 and (tokens > 0 or not taken):
            entry = heappop(self._entries)[-1]
            entry.taken_ns = time.time_ns()
            taken.append(entry)
            texts -= len(entry.texts)
            tokens -= entry.tokens
        return taken

    def _plan(self, entries: Sequence[_Entry]) -> Iterator[list[_Item]]:
        taken_s = time.monotonic()
        wanted: dict[Hashable, list[_Entry]] = {}
        for entry in entries:
            if not entry.answered.done():
                self._metrics.took("wait", taken_s - entry.queued_s)
                wanted.setdefault(entry.options, []).append(entry)
        for options, alike in wanted.items():
            items = self._tokenized(alike, options)
            limits = self.predictor.limits(options)
            share = math.ceil(sum(map(len, items)) / self._runners)
            yield from cut_runs(
                sorted(items, key=len),
                max_texts=self._batch,
                max_tokens=min(limits.most, max(limits.full, share)),
                start_tokens=limits.start,
            )

    def _tokenized(self, entries: Sequence[_Entry], options: Hashable) -> list[_Item]:
        """Their texts, for runs with the same options; none of them where that fails."""
        started_s = time.monotonic()
        try:
            tokens = iter(self.predictor.encode([text for entry in entries for text in entry.texts], options))
        except BaseException as error:  # noqa: BLE001 - as in _work; a panic of the tokenizer's is no Exception
            self._loop.call_soon_threadsafe(_fail, set(entries), error)
            return []
        took_s = time.monotonic() - started_s
        self._metrics.took("tokenize", took_s)
        for entry in entries:
            entry.tokenize_s = took_s
        return [
            _Item(entry, position, next(tokens)) for entry in entries for position in range(len(entry.texts))
        ]


def _run_of(items: Sequence[_Item]) -> Run[Any, Any]:
    return Run(
        texts=[item.tokens for item in items],
        options=items[0].entry.options,
        is_wanted=lambda number: not items[number].entry.answered.done(),
    )


def _trace(entry: _Entry) -> None:
    telemetry.record("prediction waits", entry.queued_ns, entry.taken_ns)
    telemetry.record("prediction runs", entry.taken_ns, time.time_ns())


def _deliver(items: Sequence[_Item], rows: Sequence[Any], took_s: float) -> None:
    for entry in {item.entry for item in items}:
        entry.run_s += took_s
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
