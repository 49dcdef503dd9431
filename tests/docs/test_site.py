"""The documentation site: its pages, its index for language models, and what is generated."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

from app.domain.methods import METHOD_SPECS
from app.domain.tasks import TASKS
from reference_pages.failures import failures
from reference_pages.hooks import generated_pages
from reference_pages.index import ROOT, llms_index, nav_pages


def test_it_builds_without_a_warning(tmp_path: Path):
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True, plugins=[]))
    built = {path.relative_to(tmp_path).with_suffix(".md").as_posix() for path in tmp_path.rglob("*.html")}
    assert built - {"404.md"} == set(nav_pages())


def test_every_method_and_task_has_a_page():
    pages = set(nav_pages())
    assert {f"methods/{name}.md" for name in METHOD_SPECS} | {f"guides/{task}.md" for task in TASKS} <= pages


def test_the_index_for_language_models_is_current():
    assert (ROOT / "llms.txt").read_text() == llms_index(), "python -m reference_pages.index writes it"


def test_a_page_of_a_method_has_its_settings_and_results():
    page = generated_pages()["methods/weight_squeezing.md"]
    rows = json.loads((ROOT / "benchmarks/results/methods.json").read_text())["rows"]
    assert all(
        f"| `{name}` |" in page for name in METHOD_SPECS["weight_squeezing"].model_fields if name != "name"
    )
    teacher = next(row for row in rows if row["variant"] == "teacher" and row["set"] == "sst2")
    assert f"| teacher | {teacher['dev']:.2f} |" in page


def test_the_api_reference_has_an_example_of_every_operation():
    document = json.loads((ROOT / "tests/app/openapi.json").read_text())
    text = "".join(page for path, page in generated_pages().items() if path.startswith("api/"))
    described: dict[str, Any] = dict(
        re.findall(r"^## (\w+)\n(?:.|\n)*?^```sh\ncurl -s -X (\w+)", text, re.MULTILINE)
    )
    assert described == {
        operation["operationId"]: method.upper()
        for operations in document["paths"].values()
        for method, operation in operations.items()
    }


def test_error_codes_have_a_status_and_a_message():
    codes = {failure.code: failure for failure in failures()}
    assert codes["incompatible_teacher"].status == "422"
    assert all(failure.message for failure in codes.values())
    assert len(codes) > 100


def test_every_alert_is_listed():
    rules = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())["groups"]
    page = generated_pages()["operations/alerts.md"]
    assert all(
        f"| {rule['alert']} |" in page for group in rules for rule in group["rules"] if "alert" in rule
    )


def test_every_command_has_an_example():
    page = generated_pages()["reference/command-line.md"]
    described = page.split("\n## ")[1:]
    assert {"squeeze up", "squeeze compress", "squeeze models push"} <= {
        text.splitlines()[0] for text in described
    }
    assert all("Example: squeeze" in text or "Example: SQUEEZE_" in text for text in described)
