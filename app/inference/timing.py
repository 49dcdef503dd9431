"""How long a request for predictions may take, and where its time went."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from app.domain.errors import DeadlineExceeded


@dataclass(slots=True)
class RequestTiming:
    """Of one request, which may go through several models.

    What runs side by side is counted each by itself: parts of a long request may add up to more than it took.
    """

    deadline_s: float = math.inf
    """On the monotonic clock; nobody waits for the answer after that."""
    queue_s: float = 0.0
    """What is left of its time: it waited for its turn."""
    tokenize_s: float = 0.0
    """Of the batches in which its texts were tokenized."""
    run_s: float = 0.0
    """Of the batches in which its texts were run."""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline_s - monotonic())

    @asynccontextmanager
    async def until_deadline(self) -> AsyncIterator[None]:
        """Drop the work of the block at the deadline.

        Raises:
            DeadlineExceeded: it has passed.
        """
        try:
            async with asyncio.timeout_at(None if self.deadline_s == math.inf else self.deadline_s):
                yield
        except TimeoutError:
            raise DeadlineExceeded(
                "request_timeout",
                "The timeout of this request passed before it was answered. Send fewer texts at once, or "
                "allow more time.",
            ) from None
