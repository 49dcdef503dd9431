"""Every error code with its status and message, as the code raises them, and every alert."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from app.domain import errors
from app.domain.errors import SqueezeError
from app.errors import STATUS

ROOT: Final = Path(__file__).parent.parent
_CODE_FIRST: Final = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, SqueezeError)
    and kind not in {errors.NotFound, errors.Unreadable, errors.NewerVersion}
}
"""Errors whose first argument is their code."""


class Failure(NamedTuple):
    code: str
    status: str
    message: str


def failure_pages() -> dict[str, str]:
    """Markdown by path in the documentation."""
    rows = [f"| `{code}` | {status} | {message} |" for code, status, message in failures()]
    text = (
        "# Error codes\n\n"
        "A problem's `type` ends with its code. `...` stands for a value of the request. A status of `job` "
        "is not an answer: the job fails with this code in its `error`. `<kind>_not_found` (404) names the "
        "kind of what is missing.\n\n"
        "| code | status | message |\n|---|---|---|\n"
    )
    return {"operations/errors.md": text + "\n".join(rows) + "\n", "operations/alerts.md": _alerts()}


def failures() -> list[Failure]:
    """Those of the sources of service and worker, by code; of a code with several messages the first."""
    found: dict[str, Failure] = {}
    for part in ("app", "worker"):
        for path in sorted((ROOT / part).rglob("*.py")):
            for failure in _raised_in(ast.parse(path.read_text())):
                found.setdefault(failure.code, failure)
    return [found[code] for code in sorted(found)]


def _raised_in(tree: ast.AST) -> Iterator[Failure]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(code)), message, *_]) if (
                name in _CODE_FIRST
            ):
                yield Failure(code, _status(_CODE_FIRST[name]), _message(message))


def _status(kind: type[SqueezeError]) -> str:
    if issubclass(kind, errors.JobError):
        return "job"
    return str(next(int(STATUS[base]) for base in kind.__mro__ if base in STATUS))


def _message(node: ast.expr) -> str:
    """The text of a literal, with ``...`` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")
        case ast.JoinedStr(values=values):
            return "".join(_message(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _message(left) + _message(right)
        case _:
            return "..."


def _alerts() -> str:
    groups: list[dict[str, Any]] = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())[
        "groups"
    ]
    lines = [
        "# Alerts",
        "",
        "From `docker/prometheus/alerts.yml`.",
        "",
        "| alert | after | severity | what to do |",
    ]
    lines.append("|---|---|---|---|")
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        description = " ".join(rule["annotations"]["description"].split())
        lines.append(
            f"| {rule['alert']} | {rule.get('for', '')} | {rule['labels']['severity']} | {description} |"
        )
    return "\n".join(lines) + "\n"
