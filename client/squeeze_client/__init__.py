"""Python client of Squeeze, model compression as a service: ``Squeeze``, ``AsyncSqueeze``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from squeeze_client.client import AsyncSqueeze, Squeeze
    from squeeze_client.errors import (
        ApiError,
        AuthenticationError,
        Conflict,
        ConnectionFailed,
        InvalidRequest,
        JobFailed,
        MissingExtra,
        NotFound,
        NotUploadable,
        PermissionDenied,
        RateLimited,
        ServerError,
        SqueezeError,
        WaitTimeout,
    )
    from squeeze_client.jobs import Job
    from squeeze_client.reports import Report
    from squeeze_client.responses import Dataset, Endpoint, Event, Key, Method, Model, Plan, SearchPlan

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncSqueeze",
    "AuthenticationError",
    "Conflict",
    "ConnectionFailed",
    "Dataset",
    "Endpoint",
    "Event",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "Key",
    "Method",
    "MissingExtra",
    "Model",
    "NotFound",
    "NotUploadable",
    "PermissionDenied",
    "Plan",
    "RateLimited",
    "Report",
    "SearchPlan",
    "ServerError",
    "Squeeze",
    "SqueezeError",
    "WaitTimeout",
]

_MODULES = ("client", "errors", "jobs", "reports", "responses")


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command line starts through this package, also for the server."""
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{module}" for module in _MODULES)):
            if hasattr(module, name):
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
