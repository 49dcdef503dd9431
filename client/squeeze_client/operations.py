"""The operations of the API that the client calls, by their ids in its OpenAPI description."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from squeeze_client.effects import Request

OPERATIONS: Final = {
    "createModel": "POST /v1/models",
    "listModels": "GET /v1/models",
    "getModel": "GET /v1/models/{model_id}",
    "deleteModel": "DELETE /v1/models/{model_id}",
    "releaseModel": "POST /v1/models/{model_id}/release",
    "downloadArtifact": "GET /v1/models/{model_id}/artifacts/{name}",
    "predict": "POST /v1/models/{model_id}/predict",
    "createDataset": "POST /v1/datasets",
    "listDatasets": "GET /v1/datasets",
    "getDataset": "GET /v1/datasets/{dataset_id}",
    "deleteDataset": "DELETE /v1/datasets/{dataset_id}",
    "createPlan": "POST /v1/plans",
    "createJob": "POST /v1/jobs",
    "listJobs": "GET /v1/jobs",
    "getJob": "GET /v1/jobs/{job_id}",
    "cancelJob": "POST /v1/jobs/{job_id}/cancel",
    "listJobEvents": "GET /v1/jobs/{job_id}/events",
    "streamJobEvents": "GET /v1/jobs/{job_id}/events/stream",
    "getJobReport": "GET /v1/jobs/{job_id}/report",
    "listMethods": "GET /v1/methods",
    "listEndpoints": "GET /v1/endpoints",
    "getEndpoint": "GET /v1/endpoints/{endpoint_name}",
    "setEndpoint": "PUT /v1/endpoints/{endpoint_name}",
    "rollBackEndpoint": "POST /v1/endpoints/{endpoint_name}/rollback",
    "deleteEndpoint": "DELETE /v1/endpoints/{endpoint_name}",
    "listKeys": "GET /v1/keys",
    "createKey": "POST /v1/keys",
    "rotateKey": "POST /v1/keys/{key_id}/rotate",
    "revokeKey": "POST /v1/keys/{key_id}/revoke",
    "createUpload": "POST /v1/uploads",
    "getUploadOffset": "HEAD /v1/uploads/{upload_id}",
    "appendToUpload": "PATCH /v1/uploads/{upload_id}",
    "getReadiness": "GET /readyz",
}


def call(operation: str, path: Mapping[str, str] | None = None, **request: Any) -> Request:
    """The request of an operation.

    Args:
        operation: its id.
        path: values of the path's parameters.
        request: what else a ``Request`` has.
    """
    method, _, template = OPERATIONS[operation].partition(" ")
    values = {name: quote(value, safe="/") for name, value in (path or {}).items()}
    return Request(method, template.format(**values), **request)
