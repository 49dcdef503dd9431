"""What jobs and requests have left behind and nobody needs any more: found, told of, and removed."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from obstore.exceptions import BaseError as StoreError

from app.core.db import DATABASE_UNAVAILABLE
from app.core.outages import first_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leftover:
    """Files that go together."""

    kind: str
    """As people read it: "work folder"."""
    name: str
    """Their prefix in the store, or their path."""
    size_bytes: int
    remove: Callable[[], None]
    wait: timedelta = timedelta(0)
    """They are kept so much longer; not where this is negative."""


def remove(leftovers: Iterable[Leftover]) -> None:
    """Remove what has been kept long enough; what fails is logged and tried again another time."""
    for leftover in leftovers:
        if leftover.wait > timedelta(0):
            continue
        try:
            leftover.remove()
        except StoreError as error:
            logger.warning("the store does not delete %s; later: %s", leftover.name, first_line(error))
            return  # nor will it delete the others, and each takes its time
        except DATABASE_UNAVAILABLE:
            raise  # likewise
        except Exception:
            logger.exception("%s %s could not be removed", leftover.kind, leftover.name)
        else:
            logger.info("removed %s %s (%d bytes)", leftover.kind, leftover.name, leftover.size_bytes)
