"""What an API key may do."""

from collections.abc import Collection
from typing import Final, Literal, get_args

Scope = Literal["read", "predict", "write", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


def grants(scopes: Collection[str], needed: Scope) -> bool:
    """Whether a key with these scopes may do what needs one.

    ``admin`` includes all others; ``write`` includes ``read``.
    """
    return needed in scopes or "admin" in scopes or (needed == "read" and "write" in scopes)
