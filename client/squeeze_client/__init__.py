"""Python client of Squeeze, model compression as a service: ``Squeeze``, ``AsyncSqueeze``."""

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
from squeeze_client.responses import Dataset, Endpoint, Event, Key, Method, Model, Plan

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
    "ServerError",
    "Squeeze",
    "SqueezeError",
    "WaitTimeout",
]
