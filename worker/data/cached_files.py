"""Files of the cache that jobs share."""

import os
import time
from pathlib import Path


def is_cached(path: Path) -> bool:
    """Whether a file is there. It then counts as used now, which keeps it from being removed for a while."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True
