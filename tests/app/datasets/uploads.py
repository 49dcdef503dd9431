"""Tables in every format, sent as a client sends them, and what became of them."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.core.db import DEFAULT_PROJECT
from app.core.storage import project_prefix
from tests.app.conftest import Api


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_of(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    quote = '"' if delimiter == "," else ""
    lines = [delimiter.join(rows[0])]
    lines += [delimiter.join(f"{quote}{value}{quote}" for value in row.values()) for row in rows]
    return ("\r\n".join(lines) + "\r\n").encode()


def parquet_of(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def post(api: Api, form: dict[str, str] | None = None, **tables: tuple[str, bytes]) -> Any:
    return api.http.post("/v1/datasets", files=tables, data={"name": "set"} | (form or {}))


def refused(api: Api, response: Any, code: str, *, status: int = 422) -> str:
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:squeeze:problem:{code}"), problem
    assert api.stored() == []
    assert api.rows()["datasets"] == 0
    return problem["detail"]


def stored_table(api: Api, dataset: dict[str, Any], split: str, tmp_path: Path) -> dict[str, list[Any]]:
    key = f"{project_prefix(DEFAULT_PROJECT, 'datasets', dataset['id'])}/{split}.parquet"
    api.app.state.storage.fetch(key, tmp_path / "split.parquet")
    return pq.read_table(tmp_path / "split.parquet").to_pydict()
