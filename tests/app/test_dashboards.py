"""Dashboard and alerts ask for metrics and labels that there are, and for values that they take."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.core.db import DEFAULT_PROJECT
from app.inference.metrics import PredictionMetrics
from tests.app.conftest import make_settings, run_api
from tests.app.workers.test_workers import add_job, add_worker

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARD = json.loads((DOCKER / "grafana" / "dashboard.json").read_text())
RULES = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
SCRAPE = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

OF_THE_SCRAPE = {"up": [{"job": "squeeze", "instance": "api:8000"}]}
PLACEHOLDERS = {"$__rate_interval": "5m", "$instance": ".*", "$project": ".*"}
Samples = dict[str, list[dict[str, str]]]


def expressions() -> Iterator[tuple[str, str]]:
    """Each with where it stands."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in PLACEHOLDERS.items():
                text = text.replace(name, value)
            yield f"{panel['title']} {target['refId']}", text
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert match is not None
            yield variable["name"], f"count by ({match[2]}) ({match[1]})"


def fail(*_: object, **__: object) -> None:
    raise ValueError


@pytest.fixture(scope="module")
def samples(tmp_path_factory, sqlite_url) -> Samples:
    """Labels by metric, as Prometheus has them, of an app that has been asked something."""
    for api in run_api(make_settings(tmp_path_factory.mktemp("app"), database_url=sqlite_url)):
        add_worker(api.database)
        add_job(api.database)
        api.http.get("/v1/jobs")
        api.http.post("/v1/models/mdl_x/predict", json={"inputs": []})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.core.db.models.list_models", fail)
            assert api.http.get("/v1/models").status_code == 500
        loaded = PredictionMetrics(DEFAULT_PROJECT, "mdl_x", "fp32")
        text = api.http.get("/metrics").text
        loaded.close()
    found: Samples = defaultdict(list, OF_THE_SCRAPE)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample.labels | OF_THE_SCRAPE["up"][0])
    return found


def parts(node: Any) -> Iterator[Any]:
    """The expression and all that it is made of."""
    yield node
    for name in ("lhs", "rhs", "expr", "args", "param", "vector_selector"):
        inner = getattr(node, name, None)
        for child in inner if isinstance(inner, list) else [inner]:
            if child is not None:
                yield from parts(child)


def selects(selector: Any, labels: dict[str, str]) -> bool:
    for matcher in selector.matchers.matchers:
        value, is_negative = labels.get(matcher.name, ""), "Not" in str(matcher.op)
        is_pattern = "Re" in str(matcher.op)
        is_equal = bool(re.fullmatch(matcher.value, value)) if is_pattern else matcher.value == value
        if is_equal is is_negative:
            return False
    return True


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_there(where: str, expression: str, samples: Samples) -> None:
    tree = promql.parse(expression)
    labels = set()
    for part in parts(tree):
        if isinstance(part, promql.VectorSelector):
            assert part.name in samples, f"{where}: there is no metric {part.name}"
            known = {label for sample in samples[part.name] for label in sample}
            unknown = {matcher.name for matcher in part.matchers.matchers} - known
            assert not unknown, f"{where}: {part.name} has no label {unknown}"
            assert any(selects(part, sample) for sample in samples[part.name]), f"{where}: none match {part}"
            labels |= known
    for part in parts(tree):
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= labels, f"{where}: aggregated by unknown labels"


def test_legends_and_annotations_name_labels_that_are_left() -> None:
    """Those by which the outermost aggregation keeps samples apart."""
    texts = [
        (rule["expr"], rule["annotations"][kind]) for rule in RULES for kind in ("summary", "description")
    ]
    texts += [(target["expr"], target["legendFormat"]) for panel in PANELS for target in panel["targets"]]
    for expression, text in texts:
        for label in re.findall(r"{{ ?\$labels\.(\w+) ?}}|{{(\w+)}}", text):
            name = "".join(label)
            kept = re.search(rf"by \([^)]*\b{name}\b", expression)
            assert kept or "by (" not in expression, f"{text}: {expression} has no {name}"


def test_alerts_are_whole() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert isinstance(promql.parse(rule["expr"]), promql.BinaryExpr), "an alert compares"
    [scrape] = SCRAPE["scrape_configs"]
    assert (scrape["job_name"], SCRAPE["rule_files"]) == ("squeeze", ["alerts.yml"])


def test_every_panel_goes_by_the_variable() -> None:
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    sources = [part["datasource"]["uid"] for panel in PANELS for part in (panel, *panel["targets"])]
    assert set(sources) == {"${datasource}"}
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(set(places)) == len(places)
