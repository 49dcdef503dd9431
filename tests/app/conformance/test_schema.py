"""The API answers as its description says, to whatever the description allows and forbids.

schemathesis generates the calls, with the keys of two projects in turn, and follows the links that it infers
from one operation to another. How to try longer than the suite does: see CONTRIBUTING.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from app.core.db import DEFAULT_PROJECT
from app.core.db.projects import Project
from app.main import create_app
from tests.app.auth.conftest import OTHER_PROJECT
from tests.app.auth.test_apart import settle
from tests.app.conformance.calls import Calls
from tests.app.conftest import Api, make_settings
from tests.app.registry.hub_server import Hub, serving_hub
from tests.app.serving import serving
from tests.conftest import empty_tables

EXAMPLES = int(os.environ.get("SQUEEZE_SCHEMA_EXAMPLES", "0"))
"""Of each operation; 0: what the suite has time for."""

SEED = int(os.environ.get("SQUEEZE_SCHEMA_SEED", "1"))
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
SPARE_PROJECT = "prj_" + "2" * 26
LARGE_BODIES = ["POST /v1/jobs", "POST /v1/plans", "POST /v1/fine_tuning/jobs"]
"""Of which every value of every member would be tried: thousands of calls."""

ALIKE = ["predictAtModel", "predictAsEndpoint", "predictAsPipeline"]
ALIKE += ["inferVersion", "getVersionMetadata", "getVersionReady"]
ALIKE += ["getOtherEndpointHealth", "getOtherEndpointInfo"]
"""Operations that are others under another path; the suite tries those."""

REFUSED = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429]
"""412: of tus, whose version a client has to name."""

WITH_MORE_TO_CHECK = [
    *("POST /v1/datasets", "POST /v1/models", "POST /v1/files", "POST /v1/keys"),
    *("POST /v1/webhooks", "PATCH /v1/webhooks/{webhook_id}", *LARGE_BODIES),
    *("POST /v1/uploads", "HEAD /v1/uploads/{upload_id}", "PATCH /v1/uploads/{upload_id}"),
    *("DELETE /v1/uploads/{upload_id}", "POST /v2/models/{model_id}/infer"),
    "POST /v2/models/{model_id}/versions/{version}/infer",
    *(f"GET /v1/fine_tuning/jobs/{{job_id}}/{pages}" for pages in ("events", "checkpoints")),
]
"""Which take what no schema can describe: the content of a file, a public address, a possible size, tensors
in bytes, an id of the same job."""


@pytest.fixture
def running(sqlite_url: str, tmp_path: Path) -> Iterator[Api]:
    """A running app with three projects."""
    with serving_hub(Hub({})) as hub:
        settings = make_settings(
            tmp_path, database_url=sqlite_url, loopback_without_key=False, hub_endpoint=hub.url
        )
        app = create_app(settings)
        with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            api = Api(http, app)
            empty_tables(api.database)
            with api.database.transaction() as session:
                session.add(Project(id=OTHER_PROJECT, name="other"))
                session.add(Project(id=SPARE_PROJECT, name="spare"))
            yield api


def configuration() -> SchemathesisConfig:
    generation: dict[str, Any] = {
        "max-examples": EXAMPLES or 2,
        "deterministic": True,
        "database": "none",
        "allow-extra-parameters": False,
    }
    phases: dict[str, Any] = {"examples": {"enabled": EXAMPLES > 0}}
    phases["stateful"] = {"generation": {"max-examples": EXAMPLES or 5}}
    refusals = {"expected-statuses": ["2xx", *REFUSED]}
    operations: dict[str, dict[str, Any]] = {
        name: {"checks": {"positive_data_acceptance": refusals}} for name in WITH_MORE_TO_CHECK
    }
    if not EXAMPLES:
        for name in LARGE_BODIES:
            fuzzing = {"generation": {"max-examples": 10}}
            operations[name]["phases"] = {"coverage": {"enabled": False}, "fuzzing": fuzzing}
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "request-timeout": 60.0,
            "continue-on-failure": True,
            "generation": generation,
            "phases": phases,
            "operations": [{"include-name": name, **changes} for name, changes in operations.items()],
            # Bodies that are refused as too large are wrong by their schema, too.
            "checks": {
                "negative_data_rejection": {"expected-statuses": REFUSED},
                "missing_required_header": {"expected-statuses": REFUSED},
            },
        }
    )


# Of a generated body that many tries have made long.
@pytest.mark.filterwarnings("ignore:Generating overly large repr:hypothesis.errors.HypothesisWarning")
def test_the_api_is_as_it_is_described(running: Api):
    tenants = [settle(running, project) for project in (DEFAULT_PROJECT, OTHER_PROJECT)]
    schema = schemathesis.openapi.from_url(f"{running.http.base_url}/openapi.json", config=configuration())
    if not EXAMPLES:
        schema = schema.exclude(operation_id=ALIKE)
    failures: dict[str, str] = {}
    calls = 0
    with Calls(tenants, spare_project=SPARE_PROJECT).attached(schema):
        for event in engine.from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished | events.FuzzScenarioFinished):
                calls += len(event.recorder.interactions)
                failures |= failures_of(event)
            elif isinstance(event, events.NonFatalError | events.FatalError):
                error = event.value if isinstance(event, events.NonFatalError) else event.exception
                failures[repr(error)] = "schemathesis could not go on"
    print(f"{calls} calls")
    assert calls > 500
    assert not failures, "\n\n".join(f"{where}\n{text}" for text, where in failures.items())


def failures_of(event: events.ScenarioFinished | events.FuzzScenarioFinished) -> dict[str, str]:
    """What is wrong, and how to see it."""
    failed = [
        check.failure_info
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
    return {str(info.failure): f"{event.recorder.label}: {info.code_sample[:2000]}" for info in failed}
