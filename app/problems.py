"""The one error body of this service (RFC 9457)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

_TYPE_PREFIX = "urn:squeeze:problem:"


class Fault(BaseModel):
    """One fault of a request body."""

    detail: str
    pointer: str | None = Field(default=None, description="JSON pointer to the fault in the body.")


class Problem(BaseModel):
    """An error (RFC 9457). Values named in the message are also members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable URN; the last part is the error code.")
    title: str
    status: int
    detail: str = Field(description="What is wrong and what to do about it.")
    instance: str
    request_id: str
    errors: list[Fault] = Field(default_factory=list, description="All faults of an invalid body.")
    error: dict[str, str | None] | str = Field(
        description="The same error in the form that clients of compatible services expect."
    )


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """What went wrong with a request, before it has a form."""

    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    faults: Sequence[Fault] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    """Those that ``detail`` names."""

    def members(self) -> dict[str, Any]:
        """The members that RFC 9457 names, and those of this service."""
        return {
            **self.values,
            "type": _TYPE_PREFIX + self.code,
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
            "errors": [fault.model_dump(exclude_none=True) for fault in self.faults],
        }


RenderProblem: TypeAlias = Callable[[ProblemDetails], dict[str, Any]]
"""The body, as JSON, in which the clients of a route read a problem."""


def render_problem(problem: ProblemDetails) -> dict[str, Any]:
    """RFC 9457, with an ``error`` as clients of OpenAI's and Stripe's services read it."""
    parameter = problem.faults[0].pointer if problem.faults else None
    error = {
        "message": problem.detail,
        "type": "invalid_request_error"
        if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR
        else "server_error",
        "code": problem.code,
        "param": parameter and parameter.removeprefix("#/").replace("/", "."),
    }
    return {**problem.members(), "error": error}
