"""What models have said of texts that are asked again and again, as far as some bytes hold it."""

import pickle
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from app.engine.tokenizing import Input
from app.inference.metrics import looked_up

_KEY_BYTES: Final = 16
_OWN_BYTES: Final = 256
"""Of an entry beside its row, about."""

_MISSING: Final = object()


class ServedContent(NamedTuple):
    """What answers: the files of a project's model in one precision, whatever its name.

    Another model has other content, and one that is gone is not asked: what is kept of it leaves in its turn.
    """

    project_id: str
    digest: str
    precision: str


class AnswerCache:
    """Rows of runs, by the content of the model, the text and the options of the run.

    A row depends on nothing else. Belongs to one event loop.

    Args:
        max_bytes: of all rows; what was not asked for longest goes. 0: nothing is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()

    async def rows(
        self,
        content: ServedContent,
        texts: Sequence[Input],
        options: Hashable,
        run: Callable[[Sequence[Input]], Awaitable[list[Any]]],
    ) -> list[Any]:
        """What a model says of each text; those that are not known are run."""
        if not self._max_bytes:
            return await run(texts)
        keys = [_key(content, text, options) for text in texts]
        rows = [self._find(key) for key in keys]
        missing = [number for number, row in enumerate(rows) if row is _MISSING]
        looked_up(hits=len(texts) - len(missing), misses=len(missing))
        if missing:
            said = await run([texts[number] for number in missing])
            for number, row in zip(missing, said, strict=True):
                rows[number] = row
                self._keep(keys[number], row)
        return rows

    def _find(self, key: bytes) -> Any:
        if (packed := self._rows.get(key)) is None:
            return _MISSING
        self._rows.move_to_end(key)
        return pickle.loads(packed)  # noqa: S301 - packed below, in this process

    def _keep(self, key: bytes, row: Any) -> None:
        # As bytes: so it is known how many they are, and nobody can change them.
        packed = pickle.dumps(row, pickle.HIGHEST_PROTOCOL)
        if key in self._rows:
            return
        self._rows[key] = packed
        self._bytes += len(packed) + _OWN_BYTES
        while self._bytes > self._max_bytes:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= len(oldest) + _OWN_BYTES


def _key(content: ServedContent, text: Input, options: Hashable) -> bytes:
    asked = repr((content, text, options)).encode("utf-8", "surrogatepass")
    return blake2b(asked, digest_size=_KEY_BYTES).digest()
