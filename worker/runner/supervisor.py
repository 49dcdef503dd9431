"""One attempt at a job: keep its lease, relay its child's reports, stop it when asked, say how it ended."""

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from obstore.exceptions import BaseError as StoreError

from app.core.db import Database
from app.core.outages import first_line
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.errors import SqueezeError
from app.domain.planning.stages import FETCHING, STORING
from worker.runner.checkpoint_uploads import CheckpointUploads
from worker.runner.deadline import Deadline
from worker.runner.inputs import fetch_inputs
from worker.runner.launch import Launcher
from worker.runner.limits import stalled, time_limit, timed_out
from worker.runner.machine_failures import failed_transfer
from worker.runner.outputs import store_outputs
from worker.runner.protocol import Cancelled, Failed, JobRequest, Succeeded, write_request
from worker.runner.shutdown import Shutdown
from worker.runner.transfer import TransferStopped
from worker.runner.watch import Stop, Watch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interrupted:
    """The worker is shutting down; the child was stopped and its checkpoint kept."""


@dataclass(frozen=True)
class Lost:
    """The attempt no longer holds the job: nothing may be written about it."""


Ending = Succeeded | Failed | Cancelled | Interrupted | Lost


def supervise(
    request: JobRequest,
    *,
    workdir: Path,
    claimed_at: float,
    database: Database,
    storage: Storage,
    settings: Settings,
    shutdown: Shutdown,
    launch: Launcher,
) -> Ending:
    """Run one claimed attempt to its end. Whatever happens, no process of it is left.

    The child reads and writes the work folder alone: what it reads is fetched before it starts, and what it
    made is stored when it is gone.

    ``workdir`` is the attempt's own; ``claimed_at``, of the monotonic clock, no later than its claim.
    """
    write_request(workdir, request)
    deadline = Deadline(settings, held_since=claimed_at)
    watch = Watch(request, deadline, database=database, settings=settings, shutdown=shutdown)
    outcome: Succeeded | Failed | Cancelled | None = None
    with deadline, closing(watch):
        try:
            watch.transfer(
                FETCHING, lambda check: fetch_inputs(request, workdir, storage, check), ends_on_shutdown=True
            )
            with CheckpointUploads(storage, request, workdir) as uploads:
                outcome = watch.run_child(launch, workdir, uploads)
            if isinstance(outcome, Succeeded):
                made = outcome
                stored = watch.transfer(
                    STORING,
                    lambda check: store_outputs(made, request, workdir, storage, check),
                    ends_on_shutdown=False,
                )
                return _with_seconds(stored, watch)
        except TransferStopped:
            pass
        except (SqueezeError, StoreError, OSError, ValueError) as error:
            stack = None if isinstance(error, StoreError) else error
            logger.error(  # noqa: TRY400 - where the store is away, its own stack tells nothing
                "job %s: its files could not be moved: %s", request.job_id, first_line(error), exc_info=stack
            )
            outcome = failed_transfer(error)
    match watch.stop:
        case Stop.LOST:
            return Lost()
        case Stop.CANCEL:
            return Cancelled()
        case Stop.SHUTDOWN:
            return Interrupted()
        case Stop.TIMED_OUT:
            return timed_out(time_limit(request, settings))
        case Stop.STALLED:
            return stalled(settings.stall_limit)
        case None:
            assert outcome is not None
            return outcome


def _with_seconds(outcome: Succeeded, watch: Watch) -> Succeeded:
    """What the supervisor's own stages took stands in the report too."""
    report = outcome.report
    report = report.model_copy(update={"seconds": {**watch.seconds, **report.seconds}})
    taken = watch.timetable.close(time.monotonic())
    stage_seconds = None if watch.timetable.is_resumed else dict(taken)
    return outcome.model_copy(update={"report": report, "stage_seconds": stage_seconds})
