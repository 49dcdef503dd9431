"""The HTTP server of an API process, which ends in time whatever its requests wait for."""

import gc
import logging
import math
import os
import socket
import threading
from datetime import timedelta
from types import FrameType

import uvicorn
from fastapi import FastAPI

logger = logging.getLogger(__name__)

_ABANDONED = 70  # EX_SOFTWARE

_COLLECTED_OBJECTS = 10_000
"""New objects from which the garbage collector looks for unreachable ones."""


class DrainingServer(uvicorn.Server):
    """Finishes what it has admitted when it is told to stop, for so long and no longer.

    It takes no new connections and answers the requests under way, then cancels those that are left. What
    still waits in a thread after that, for a store that does not answer say, cannot be cancelled: a quarter
    of the time later the process ends without it.
    """

    def __init__(
        self, app: FastAPI, *, host: str, port: int, drain: timedelta, keep_alive: timedelta
    ) -> None:
        # Texts are tokenised side by side by the threads that run them: more threads would take their cores.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._drain_s = drain.total_seconds()
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="uvloop",
                http="httptools",
                access_log=False,
                log_config=None,
                timeout_keep_alive=math.ceil(keep_alive.total_seconds()),
                timeout_graceful_shutdown=math.ceil(self._drain_s),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # Hundreds of thousands of objects stay for good: to search them all took 90 ms each time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECTED_OBJECTS)
        gc.enable()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            ending = threading.Timer(1.25 * math.ceil(self._drain_s), self._abandon)
            ending.daemon = True
            ending.start()
        super().handle_exit(sig, frame)

    def _abandon(self) -> None:
        logger.error("requests still wait %.0f s after the order to stop; ending without them", self._drain_s)
        logging.shutdown()
        os._exit(_ABANDONED)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the app has not logged it itself, as it does with answers that break off."""
    return record.msg != "ASGI callable returned without completing response."
