"""Who a request comes from."""

from dataclasses import dataclass

from app.core.db import DEFAULT_PROJECT
from app.domain.errors import Forbidden
from app.domain.scopes import Scope, grants


@dataclass(frozen=True, slots=True)
class Principal:
    """A key, or whoever needs none."""

    project_id: str
    scopes: frozenset[str]
    key_id: str | None
    """None: a request from this machine."""
    max_requests_per_minute: int | None = None

    @property
    def name(self) -> str:
        """For the audit log."""
        return self.key_id or "loopback"

    def require(self, scope: Scope) -> None:
        """Raise ``Forbidden`` where a scope is missing."""
        if not grants(self.scopes, scope):
            raise Forbidden(
                "insufficient_scope",
                f"This needs an API key with the scope {scope!r}; this one has "
                f"{', '.join(sorted(self.scopes)) or 'none'}.",
                scope=scope,
            )

    @property
    def is_operator(self) -> bool:
        """Whether it is of the project of whoever runs the installation."""
        return self.project_id == DEFAULT_PROJECT

    def require_operator(self) -> None:
        """Raise ``Forbidden`` for all others."""
        if not self.is_operator:
            raise Forbidden(
                "operator_required",
                "This concerns all projects and needs an API key of the default project.",
            )
