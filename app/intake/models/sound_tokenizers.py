"""Tokenizers that were found sound before: most models share one of a few, and to try one takes a process."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

_MAX_BYTES = 64 * 2**20


class SoundTokenizers:
    """What checking a file made of it, by the file's content and what it was checked for; the latest few."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @staticmethod
    def key(path: Path, *, vocabulary: int) -> str:
        with path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {vocabulary}"

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def keep(self, key: str, made: bytes) -> None:
        with self._lock:
            self._bytes += len(made) - len(self._made.get(key, b""))
            self._made[key] = made
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._made.popitem(last=False)[1])
