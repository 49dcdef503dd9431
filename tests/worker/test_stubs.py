"""What the stubs say of transformers is there."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

STUBS = Path(__file__).parent.parent.parent / "stubs"
MODULES = [path for path in STUBS.rglob("*.pyi") if path.read_text()]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(STUBS)))
def test_what_is_declared_exists(path: Path) -> None:
    module = import_module(".".join(path.relative_to(STUBS).with_suffix("").parts).removesuffix(".__init__"))
    tree = ast.parse(path.read_text())
    for declared in tree.body:
        if isinstance(declared, ast.ClassDef | ast.FunctionDef):
            found = getattr(module, declared.name)
            methods = [part.name for part in ast.walk(declared) if isinstance(part, ast.FunctionDef)]
            missing = {name for name in methods if name != declared.name and not hasattr(found, name)}
            assert missing <= {"__getattr__"}, declared.name
