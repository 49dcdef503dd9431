"""A page for each method, of its card, its settings and what was measured."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any, Final

from app.domain.methods import METHOD_SPECS
from app.domain.methods.spec import Spec

RESULTS: Final = Path(__file__).parent.parent / "benchmarks" / "results" / "methods.json"
_COMMAND: Final = "python -m benchmarks.methods --data ../shared/data --seeds 3"

_SOURCE: Final = (
    f"From `benchmarks/results/methods.json`, made by `{_COMMAND}`. "
    "Scores are on dev, in percent; dev also selects the best checkpoint."
)

Row = dict[str, Any]


def method_pages() -> dict[str, str]:
    """Markdown by path in the documentation."""
    pages = {f"methods/{name}.md": _page(name, spec) for name, spec in METHOD_SPECS.items()}
    return {"methods/index.md": _index()} | pages


def measured_students() -> str:
    """Tables of all methods at equal size, data and steps, on each data set where several were compared."""
    parts = {
        ("weight_squeezing", "sst2", ""),
        ("weight_squeezing", "cola", ""),
        ("weight_squeezing", "stsb", ""),
    }
    tables = [
        line
        for (part, data, size), rows in _groups().items()
        if (part, data, size) in parts
        for line in _measured_table(part, data, rows)
    ]
    return "\n".join([_SOURCE, "", *tables])


def _index() -> str:
    rows = [
        f"| [`{name}`]({name}.md) | {(spec.__doc__ or '').strip()} | {spec.card.when} |"
        for name, spec in METHOD_SPECS.items()
    ]
    return "\n".join(
        ["# Methods", "", "| method | what it does | when to use it |", "|---|---|---|", *rows, ""]
    )


def _page(name: str, spec: type[Spec]) -> str:
    card = spec.card
    targets = ", ".join(f"`{target}`" for target in card.targets) or "none: the size stays the same"
    papers = [f"* Paper: <{paper}>" for paper in card.papers]
    head = "yes, unless the data set has `teacher_scores`" if card.needs_head else "no"
    lines = [
        f"# {card.title}",
        "",
        f'`{{"name": "{name}"}}`. {(spec.__doc__ or "").strip()}',
        "",
        "## When to use it",
        "",
        card.when,
        "",
        f"* Tasks: {', '.join(f'`{task}`' for task in card.tasks)}",
        f"* Size targets: {targets}",
        f"* Data: {card.data}",
        f"* Teacher needs a head for the task: {head}",
        *papers,
        "",
        *_settings(spec),
        *_measured(name),
    ]
    return "\n".join(lines)


def _settings(spec: type[Spec]) -> list[str]:
    properties = {
        name: value for name, value in spec.model_json_schema()["properties"].items() if name != "name"
    }
    if not properties:
        return ["## Settings", "", "It has none of its own.", ""]
    rows = [
        f"| `{name}` | {_default(value)} | {_cell(value.get('description', ''))} |"
        for name, value in properties.items()
    ]
    return ["## Settings", "", "| setting | default | meaning |", "|---|---|---|", *rows, ""]


def _default(schema: Row) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else "required"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _measured(name: str) -> list[str]:
    """For each setting of the benchmark in which the method took part, all that was measured there."""
    lines = [
        line
        for (part, data, size), rows in _groups().items()
        if any(_is_of(name, row["variant"]) for row in rows)
        for line in _measured_table(part, " ".join(filter(None, [data, size])), rows)
    ]
    return [
        "## Measured",
        "",
        *([_SOURCE, "", *lines] if lines else ["No results of this method there.", ""]),
    ]


def _groups() -> dict[tuple[str, str, str], list[Row]]:
    """Rows of the benchmark by its part, data set and size, after those of the data set's teacher."""
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    teachers: dict[str, list[Row]] = defaultdict(list)
    for row in json.loads(RESULTS.read_text())["rows"]:
        if row["part"] == "teacher":
            teachers[row["set"]].append(row)
        elif "dev" in row:
            groups[row["part"], row["set"], row["size"]].append(row)
    return {place: teachers[place[1]] + rows for place, rows in groups.items()}


def _is_of(name: str, variant: str) -> bool:
    return variant.replace("+", ",").split(",")[0].strip() == name


def _measured_table(part: str, where: str, rows: list[Row]) -> list[str]:
    by_variant: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_variant[row["variant"]].append(row)
    cells = [
        f"| {variant} | {mean(row['dev'] for row in seeds):.2f} | {len(seeds)} "
        f"| {seeds[0]['parameters'] / 1e6:.2f} M |"
        for variant, seeds in by_variant.items()
    ]
    head = [f"### {where} (benchmark `{part}`)", "", "| variant | dev, mean | seeds | parameters |"]
    return [*head, "|---|---|---|---|", *cells, ""]
