"""The page: the report's tables, and charts of what is better seen."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from app.domain.documents.comparison import SplitComparison
from app.domain.reports.tables import Report, model_name, report_tables
from app.jobs.report import Curve
from app.jobs.report_page.charts import (
    HeatMap,
    IntervalChart,
    LineChart,
    heat_map,
    interval_chart,
    line_chart,
)

_FOLDER: Final = Path(__file__).parent
_STYLE: Final = (_FOLDER / "report.css").read_text("utf-8")
_TEMPLATE: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("report.html")
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page runs nothing and loads nothing, whatever a text in it may say."""

_RELIABLE: Final = ("teacher", "student", "onnx_int8")
_CURVES: Final = {"loss": "Training loss", "dev_quality": "Quality on dev while training"}


def report_page(report: Report, curves: Sequence[Curve]) -> str:
    """The report as one HTML file."""
    comparison = report.comparison
    splits = {} if comparison is None else comparison.splits
    reliability = (chart for name, split in splits.items() for chart in _reliability(report, name, split))
    return _TEMPLATE.render(
        style=Markup(_STYLE),  # noqa: S704 - ours, and no text of anyone else
        report=report,
        tables=report_tables(report, with_texts=True),
        intervals=[_intervals(report, name, split) for name, split in splits.items()],
        charts=[*_training(curves), *reliability],
        heat_maps=list(_heat_maps(splits.items())),
    )


def _intervals(report: Report, name: str, split: SplitComparison) -> IntervalChart:
    comparison = report.comparison
    assert comparison is not None
    values = {
        model_name(model.name, comparison): (model.quality.value, model.quality.low, model.quality.high)
        for model in split.models
    }
    return interval_chart(f"{comparison.metric} on {name}, {comparison.level:.0%} intervals", values)


def _training(curves: Sequence[Curve]) -> Iterator[LineChart]:
    for name, title in _CURVES.items():
        series = {
            curve.stage: [(point.step, point.value) for point in curve.points]
            for curve in curves
            if curve.name == name
        }
        chart = line_chart(title, series, x_name="step")
        if chart is not None:
            yield chart


def _reliability(report: Report, name: str, split: SplitComparison) -> Iterator[LineChart]:
    comparison = report.comparison
    assert comparison is not None
    series = {
        model_name(model.name, comparison): [
            (point.confidence, point.accuracy) for point in model.calibration.points
        ]
        for model in split.models
        if model.name in _RELIABLE and model.calibration is not None
    }
    chart = line_chart(
        f"Reliability on {name}: how often answers of a probability are right",
        series,
        x_name="probability",
        x_range=(0, 1),
        y_range=(0, 1),
        has_diagonal=True,
    )
    if chart is not None:
        yield chart


def _heat_maps(splits: Iterable[tuple[str, SplitComparison]]) -> Iterator[HeatMap]:
    for name, split in splits:
        if (found := split.confusion) is not None:
            some = f", {len(found.labels)} of {found.of} labels" if found.of > len(found.labels) else ""
            yield heat_map(f"On {name}{some}", found.labels, found.counts)
