"""What generated calls are sent with: the keys of two projects, and ids of things that these have."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import schemathesis
from schemathesis import AuthContext, BaseSchema, Case, Response

from tests.app.auth.test_apart import ABSENT, NAMES, Tenant

AUTHORIZATION, IDEMPOTENCY_KEY = "authorization", "idempotency-key"


class Calls:
    """Hooks of schemathesis.

    What a generated call names is replaced, in part, by what a project has; it then carries that project's
    key. Other calls carry the two keys in turn.

    Args:
        tenants: the two projects.
        spare_project: the one whose limits may be changed: those of the two would end the test early.
    """

    def __init__(self, tenants: Sequence[Tenant], *, spare_project: str) -> None:
        self._tenants = tenants
        self._spare_project = spare_project
        self._calls = 0
        self._spent: set[str] = set()
        """Keys of idempotency: with another body they are refused, and rightly."""
        self._owners = {id_: tenant for tenant in tenants for id_ in self._things(tenant).values()}

    @contextmanager
    def attached(self, schema: BaseSchema) -> Iterator[None]:
        """For the length of a block: some hooks are the process's."""
        # Functions, because schemathesis writes its notes on them.
        schema.hook("map_path_parameters")(lambda context, parameters: self._name_things(parameters))
        schema.hook("map_body")(lambda context, body: self._name_things_in_body(body))
        schemathesis.hook("before_call")(lambda context, case, kwargs: self._prepare(case))
        schemathesis.hook("after_call")(lambda context, case, response: self._remember(case, response))
        calls = self

        @schema.auth(refresh_interval=None)
        class Keys:
            def get(self, case: Case, context: AuthContext) -> str:
                return calls._key(case)

            def set(self, case: Case, key: str, context: AuthContext) -> None:
                case.headers[AUTHORIZATION] = key

        try:
            yield
        finally:
            schemathesis.hooks.unregister_all()

    def _key(self, case: Case) -> str:
        """The key of whoever made what the call names, else the next one."""
        self._calls += 1
        for id_ in self._named(case):
            if id_ in self._owners:
                return self._owners[id_].key[AUTHORIZATION]
        return self._tenants[self._calls % len(self._tenants)].key[AUTHORIZATION]

    @staticmethod
    def _things(tenant: Tenant) -> dict[str, str]:
        return {k: v for k, v in tenant.ids.items() if k not in {"key_id", "project_id"}}

    @staticmethod
    def _named(case: Case) -> list[str]:
        named = [str(value) for value in (case.path_parameters or {}).values()]
        if isinstance(case.body, dict):
            named += [value for value in case.body.values() if isinstance(value, str)]
        return named

    def _name_things(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {name: self._thing(name, value) for name, value in (parameters or {}).items()}

    def _name_things_in_body(self, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        kinds = {"teacher": "model_id", "dataset": "dataset_id"}
        return {
            name: self._thing(kinds[name], value) if name in kinds and isinstance(value, str) else value
            for name, value in body.items()
        }

    def _thing(self, kind: str, value: Any) -> Any:
        """By the value itself, so that a run can be repeated."""
        if kind == "project_id":
            known = [self._spare_project]
        elif kind == "key_id":
            return value
        else:
            known = [tenant.ids[kind] for tenant in self._tenants if kind in tenant.ids]
            known += [NAMES[kind]] if kind in NAMES else []
        choice = crc32(repr(value).encode()) % (len(known) + 1)
        return value if choice == len(known) else known[choice]

    def _prepare(self, case: Case) -> None:
        """Keep a call from ending the test: by taking a key or an allowance away, by a stream without end."""
        if case.headers.get(IDEMPOTENCY_KEY) in self._spent:
            del case.headers[IDEMPOTENCY_KEY]
        parameters = case.path_parameters or {}
        for tenant in self._tenants:
            if case.method != "GET" and parameters.get("key_id") == tenant.ids["key_id"]:
                parameters["key_id"] = ABSENT["key_id"]
            if case.method == "PATCH" and parameters.get("project_id") == tenant.ids["project_id"]:
                parameters["project_id"] = self._spare_project
        if "job_id" in parameters and "events" in case.path:
            job_id = parameters["job_id"]
            owner = self._owners.get(job_id)
            if owner is not None:
                owner.ask("POST", f"/v1/jobs/{job_id}/cancel")

    def _remember(self, case: Case, response: Response) -> None:
        """Whose a new thing is."""
        if response.status_code not in {201, 202}:
            return
        self._spent.add(case.headers.get(IDEMPOTENCY_KEY, ""))
        key = case.headers.get(AUTHORIZATION)
        [owner] = [tenant for tenant in self._tenants if tenant.key[AUTHORIZATION] == key] or [None]
        made = json.loads(response.content)
        if owner is not None and isinstance(made, dict) and "id" in made and made.get("object") != "project":
            self._owners[made["id"]] = owner
