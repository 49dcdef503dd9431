"""Storing the checkpoints of a running attempt beside everything else that its supervisor does."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import Self

from obstore.exceptions import BaseError as StoreError

from app.core.outages import first_line
from app.core.storage import Storage
from app.domain.documents.manifest import FileEntry
from worker.runner.protocol import CHECKPOINTS, JobRequest, StoredCheckpoint, checkpoint_path
from worker.runner.workdir import link_or_copy

logger = logging.getLogger(__name__)

_REST = 3
"""Pause after an upload, as a multiple of its own time: training has the machine to itself meanwhile."""
_LEAST_PRIORITY = 19


class CheckpointUploads:
    """Uploads one checkpoint at a time, in a thread; what is written meanwhile is left out.

    For the length of a ``with`` block: an upload that ends later is undone, because no row will name it.
    """

    def __init__(self, storage: Storage, request: JobRequest, workdir: Path) -> None:
        self._storage = storage
        self._prefix = request.checkpoint_prefix
        self._workdir = workdir
        self._thread: threading.Thread | None = None
        self._latest = 0
        self._begun = 0
        self._rest_until = 0.0
        self._lock = threading.Lock()
        self._stored: list[StoredCheckpoint] = []
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_over = True

    def offer(self, step: int) -> None:
        """Store the checkpoint of a step, if there is time for it."""
        self._latest = step
        if not self._is_busy and time.monotonic() >= self._rest_until:
            self._begin()

    def take(self) -> Sequence[StoredCheckpoint]:
        """What was stored since the last call."""
        with self._lock:
            taken, self._stored = self._stored, []
        return taken

    def flush(self, timeout_s: float) -> bool:
        """Store the latest checkpoint, waiting no longer than that; whether there is nothing to wait for."""
        if not self._is_busy and self._begun < self._latest:
            self._begin()
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s))
        return not self._is_busy and self._begun == self._latest

    @property
    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _begin(self) -> None:
        self._begun = self._latest
        # A daemon: a store that hangs must not keep the worker from ending.
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(self._upload, self._latest),
            name="checkpoint-upload",
            daemon=True,
        )
        self._thread.start()

    def _upload(self, step: int) -> None:
        began = time.monotonic()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)
        upload = self._workdir / "upload.safetensors"  # another name: the child may remove its own meanwhile
        try:
            upload.unlink(missing_ok=True)
            link_or_copy(checkpoint_path(self._workdir / CHECKPOINTS, step), upload)
            entry = FileEntry.of(upload)
            key = f"{self._prefix}/{entry.sha256}.safetensors"
            self._storage.put_file(key, upload)
            upload.unlink(missing_ok=True)
            with self._lock:
                if not self._is_over:
                    self._stored.append(StoredCheckpoint(key=key, step=step, file=entry))
                    return
            self._storage.delete_files([key])
        except (StoreError, OSError) as error:
            logger.warning("could not store the checkpoint of step %d: %s", step, first_line(error))
        finally:
            ended = time.monotonic()
            self._rest_until = ended + _REST * (ended - began)
