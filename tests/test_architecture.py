"""What the parts of the service may know of one another, beyond what import-linter checks."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import app.domain.errors as domain
from app.domain.architectures import Architecture
from app.domain.errors import JobError, SqueezeError
from app.domain.methods import METHOD_CARDS, METHOD_SPECS
from app.errors import STATUS, status_of
from worker import methods

ROOT = Path(__file__).parent.parent


def test_the_api_starts_without_the_worker_and_its_frameworks():
    forbidden = ("torch", "transformers", "onnx", "worker")
    script = f"import app.main, sys; print([name for name in {forbidden} if name in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert output.stdout.strip() == "[]"


def test_onnx_files_are_opened_in_one_place():
    """What is measured and checked is what is served."""
    opening = [
        path.relative_to(ROOT).as_posix()
        for part in ("app", "worker")
        for path in (ROOT / part).rglob("*.py")
        if any(name in path.read_text() for name in ("InferenceSession(", "SessionOptions("))
    ]
    assert opening == ["app/engine/sessions.py"]


def test_every_error_of_the_domain_has_a_status():
    families = [
        error
        for error in vars(domain).values()
        if isinstance(error, type) and issubclass(error, SqueezeError)
    ]
    # What fails a job is written into the job; it never reaches a request.
    unmapped = {error for error in families if error not in STATUS and not issubclass(error, JobError)}
    assert unmapped == set()
    assert all(status_of(error) >= 400 for error in families)


def test_specs_cards_files_and_folders_are_the_same_methods():
    folders = {path.parent.name for path in (ROOT / "worker" / "methods").glob("*/__init__.py")}
    files = {path.stem for path in (ROOT / "app" / "domain" / "methods").glob("*.py")}
    assert set(METHOD_SPECS) == set(METHOD_CARDS) == folders
    assert files == set(METHOD_SPECS) | {"__init__", "card", "spec", "terms"}


@pytest.mark.parametrize(("name", "spec"), METHOD_SPECS.items())
def test_the_method_of_a_folder_takes_the_spec_of_its_name(name, spec):
    method = methods.load(spec(name=name))
    assert get_type_hints(type(method).compress)["spec"] is spec


def test_every_knob_is_described():
    for name, spec in METHOD_SPECS.items():
        undescribed = [
            knob for knob, info in spec.model_fields.items() if knob != "name" and not info.description
        ]
        assert undescribed == [], name
        assert spec.__doc__


def test_only_a_method_s_own_files_ask_which_method_it_is():
    classes = {spec.__name__ for spec in METHOD_SPECS.values()}
    assert _files_that_ask_for(classes, own=("app/domain/methods", "worker/methods")) == []


def test_only_the_domain_and_the_networks_ask_which_kind_an_architecture_is():
    """And what reads uploaded weights: what may lie beside a network's parameters differs in kind."""
    classes = {kind.__name__ for kind in get_args(get_args(Architecture)[0])}
    asking = _files_that_ask_for(classes, own=("app/domain", "worker/networks"))
    assert asking == ["app/intake/models/weights.py"]


def _files_that_ask_for(classes: set[str], *, own: tuple[str, ...]) -> list[str]:
    """Files outside of some folders that ask whether something is of one of these classes."""
    paths = [path for part in ("app", "worker") for path in (ROOT / part).rglob("*.py")]
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if not any(path.is_relative_to(ROOT / part) for part in own) and classes & _asked_classes(path)
    ]


def test_no_test_imports_or_patches_a_private_name():
    """The linter sees those that are reached through an object."""
    paths = [*(ROOT / "tests").rglob("*.py")]
    assert [str(path) for path in paths if any(_private_names(ast.parse(path.read_text())))] == []


def _private_names(tree: ast.AST) -> Iterator[str]:
    """Those of the code under test that are imported, or named by a path or to ``setattr``."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if re.match(
                "(app|worker|benchmarks)", module
            ):
                yield from (alias.name for alias in names if alias.name.startswith("_"))
            case ast.Constant(value=str(path)) if re.fullmatch(
                r"(app|worker|benchmarks)\.[\w.]*\._\w+", path
            ):
                yield path
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[_, ast.Constant(value=str(name)), *_]):
                yield from [name] if name.startswith("_") else []


@cache
def _asked_classes(path: Path) -> set[str]:
    """Classes that ``isinstance`` and ``case`` are asked for in a file."""
    asked: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, classes]):
                asked |= {name.id for name in ast.walk(classes) if isinstance(name, ast.Name)}
            case ast.MatchClass(cls=ast.Name(id=name)):
                asked.add(name)
    return asked
