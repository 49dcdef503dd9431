"""The one error body of this service (RFC 9457)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

_TYPE_PREFIX = "urn:squeeze:problem:"


class Fault(BaseModel):
    """One thing that is wrong with a request body."""

    detail: str
    pointer: str | None = Field(default=None, description="JSON pointer into the body.")


class Problem(BaseModel):
    """What went wrong (RFC 9457). Values that the message names are members of their own too."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A stable URN; its last part is the code.")
    title: str
    status: int
    detail: str = Field(description="What is wrong here, and what to do about it.")
    instance: str
    request_id: str
    errors: list[Fault] = Field(default_factory=list, description="Each fault of a bad body.")
    error: dict[str, str | None] | str = Field(description="The same for clients of other services.")


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
