"""Whether what this process depends on responds and has room."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeAlias, get_args

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pydantic import BaseModel, Field
from sqlalchemy import text
from starlette.datastructures import State

from app.core.db.workers import live_workers
from app.core.outages import Outages
from app.core.settings import Settings
from app.domain.errors import NotReady

logger = logging.getLogger(__name__)

Dependency: TypeAlias = Literal["database", "broker", "store", "disk", "workers"]
DependencyState: TypeAlias = Literal["ok", "none", "full", "not responding"]

_PATIENCE_S = 3.0


class ReadinessRead(BaseModel):
    """That this process can work, and the state of each of its dependencies."""

    status: Literal["ready"]
    database: DependencyState
    broker: DependencyState
    store: DependencyState
    disk: DependencyState
    workers: DependencyState = Field(description="Never a reason not to be ready: jobs wait in their queue.")


class Readiness:
    """Asks each dependency, one question at a time, and waits for none longer than a few seconds.

    Args:
        state: of the app, where the dependencies are.
        settings: those of the app.
        outages: that it has met.
    """

    def __init__(self, state: State, settings: Settings, outages: Outages) -> None:
        self._app = state
        self._settings = settings
        self._outages = outages
        self._threads = CapacityLimiter(len(get_args(Dependency)))  # its own: requests may hold all others
        self._under_way: dict[Dependency, asyncio.Task[DependencyState]] = {}
        self._reasons: dict[Dependency, Exception] = {}
        """Why those that do not respond do not, where their client library has said so."""
        self._failing: frozenset[Dependency] = frozenset()

    async def states(self) -> dict[Dependency, DependencyState]:
        """Of each dependency; what has changed since the last time is logged."""
        questions: dict[Dependency, Callable[[], DependencyState]] = {
            "database": self._database,
            "broker": self._broker,
            "store": self._store,
            "disk": self._disk,
            "workers": self._workers,
        }
        tasks = {name: self._asked(name, question) for name, question in questions.items()}
        await asyncio.wait(tasks.values(), timeout=_PATIENCE_S)
        states = {name: task.result() if task.done() else "not responding" for name, task in tasks.items()}
        self._log_changes(states)
        return states

    async def require(self, *, without: Collection[Dependency] = ()) -> dict[Dependency, DependencyState]:
        """Likewise, of a process that can work without some of them.

        Raises:
            NotReady: one of the others does not respond, or has no room.
        """
        states = await self.states()
        ignored = {"workers", *without}
        failing = [
            name for name, state in states.items() if state not in ("ok", "none") and name not in ignored
        ]
        if failing:
            what = ", ".join(f"{name} ({states[name]})" for name in failing)
            raise NotReady("not_ready", f"Not ready: {what}.", failing=failing, **states)
        return states

    def _log_changes(self, states: Mapping[Dependency, DependencyState]) -> None:
        """A line when an outage begins and one when it is over, however many probes there are meanwhile."""
        failing: dict[Dependency, DependencyState] = {
            name: state for name, state in states.items() if state not in ("ok", "none")
        }
        failing.pop("workers", None)  # jobs wait for them: no outage
        for name, state in failing.items():
            if name in self._failing:
                continue
            if state == "full":
                self._outages.log(name, f"the {name} is full")
            else:
                self._outages.report(name, self._reasons.get(name, f"no answer within {_PATIENCE_S:g} s"))
        for name in sorted(self._failing - failing.keys()):
            logger.info("the %s is available again", name)
        self._failing = frozenset(failing)

    def _asked(
        self, name: Dependency, question: Callable[[], DependencyState]
    ) -> asyncio.Task[DependencyState]:
        """The question under way, or a new one: one that hangs is not asked again beside."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._ask(name, question))
            task.add_done_callback(lambda _: self._under_way.pop(name))
        return task

    async def _ask(self, name: Dependency, question: Callable[[], DependencyState]) -> DependencyState:
        try:
            state = await run_sync(question, limiter=self._threads, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 - whatever its client library raises
            self._reasons[name] = error
            return "not responding"
        self._reasons.pop(name, None)
        return "full" if state == "ok" and self._outages.is_full(name) else state

    def _database(self) -> DependencyState:
        with self._app.database.reading() as session:
            session.execute(text("select 1"))
        return "ok"

    def _workers(self) -> DependencyState:
        with self._app.database.reading() as session:
            workers = live_workers(session)
        if not workers:
            return "none"
        return "full" if all(worker.problem is not None for worker in workers) else "ok"

    def _broker(self) -> DependencyState:
        self._app.queue.check()
        return "none" if self._settings.broker_url is None else "ok"

    def _store(self) -> DependencyState:
        self._app.storage.check()
        return "ok"

    def _disk(self) -> DependencyState:
        """Of the data folder, which may hold database and files too, and of the folder for uploads."""
        data_dir = self._settings.data_dir.resolve()
        existing = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
        free = min(shutil.disk_usage(place).free for place in (existing, tempfile.gettempdir()))
        return "ok" if free >= self._settings.min_free_bytes else "full"
