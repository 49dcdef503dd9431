"""What all groups of calls share."""

from collections.abc import Callable
from typing import Any, TypeVar

from squeeze_client.effects import InMode, Item, Items, M
from squeeze_client.operations import call
from squeeze_client.responses import Response
from squeeze_client.sending import send

R = TypeVar("R", bound=Response)

_PAGE = 100


class Resource(InMode[M]):
    """A group of calls of a client."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    @property
    def runner(self) -> Any:
        """The client."""
        return self._runner


def id_of(thing: "str | Response") -> str:
    """The id of something that is given itself or by its id."""
    return thing if isinstance(thing, str) else str(vars(thing)["id"])


def pages(operation: str, read: Callable[[Any], R], *, limit: int | None = None, **params: Any) -> Items[R]:
    """Entries of a list, page by page. Those that the service itself cannot read are left out.

    Args:
        operation: that lists.
        read: makes an entry of its JSON.
        limit: at most so many; default: all.
        params: of the query.
    """
    after: str | None = None
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        answer = yield from send(call(operation, params={**params, "limit": size, "after": after}))
        page = answer.json()
        for entry in page["data"]:
            if entry.get("object") != "unreadable":
                yield Item(read(entry))
        left = None if left is None else left - len(page["data"])
        after = page.get("next")
        if not page["has_more"] or after is None:
            return
