"""Students that are one file, and the gate of their publication."""

from typing import Any

import pytest

from app.domain.architectures import (
    Architecture,
    EncoderDecoderShape,
    LayerUse,
)
from app.domain.methods import METHOD_CARDS
from app.domain.tasks import TASKS, Task
from tests.app.conftest import Api
from tests.app.jobs.shelf import ENCODER, TRANSLATOR, add_model
from tests.app.jobs.test_compatibility import FIRST, SMALL, XLM_R_LARGE, job, planned, refused


class TestOneFile:
    """What no ONNX file can hold is refused before anybody trains it."""

    def test_a_model_that_is_trained_as_it_is(self, api):
        body = job(api, "fine_tuning", "text_classification", teacher=add_model(api, XLM_R_LARGE, None))
        detail = refused(api, body, "onnx_too_large", "#/teacher")
        assert "2.24 GB of fp32 weights; an ONNX file is limited to 2.15 GB" in detail
        assert detail.endswith("Use a smaller teacher.")

    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, method in METHOD_CARDS.items()
            if method.targets and "text_classification" in method.tasks and name not in ("bilstm", "tfidf")
        ],
    )
    def test_a_student(self, api, name):
        """A large teacher's; one that is small enough can be had of it."""
        shape = XLM_R_LARGE.shape.model_copy(update={"layers": 48})
        teacher = add_model(api, XLM_R_LARGE.at(shape), "text_classification")
        body = job(api, name, "text_classification", teacher=teacher, target={"compression_ratio": 1.1})
        assert refused(api, body, "onnx_too_large", "#/target").endswith("Use a smaller target.")
        planned(api, body | {"target": {"compression_ratio": 2}})

    def test_a_first_model(self, api):
        shape = FIRST | {"encoder_layers": 48, "hidden": 1024, "heads": 16, "ffn": 16384}
        target = {"shape": shape, "vocabulary_size": 64_000}
        body = job(api, "scratch", "translation", target=target, teacher=None)
        assert "GB of fp32 weights" in refused(api, body, "onnx_too_large", "#/target")


class TestGate:
    def gated(self, api: Api, task: Task, small: Architecture, knows: Task | None) -> dict[str, Any]:
        method = {"name": "weight_squeezing", "gate": {"small_model": add_model(api, small, knows)}}
        return job(api, "weight_squeezing", task, method=method, target=None)

    @pytest.mark.parametrize("task", TASKS)
    def test_any_task(self, api, task):
        small = ENCODER.at(SMALL)
        if task == "translation":
            small = TRANSLATOR.at(EncoderDecoderShape(**FIRST))
        body = self.gated(api, task, small, task)
        student = planned(api, body)["student"]
        assert (student["shape"], student["advice"]) == (small.shape.model_dump(), [])
        created = api.http.post("/v1/jobs", json=body).json()
        assert created["target"]["shape"] == small.shape.model_dump()

    def test_a_small_model_of_another_task(self, api):
        body = self.gated(api, "text_classification", ENCODER.at(SMALL), "text_regression")
        assert "small model" in refused(api, body, "task_mismatch", "#/method/gate/small_model")

    def test_a_small_model_that_runs_layers_twice(self, api):
        small = ENCODER.at(SMALL)
        twice = tuple(LayerUse(layer=layer) for layer in (*range(SMALL.layers), *range(SMALL.layers)))
        body = self.gated(api, "text_classification", small.model_copy(update={"schedule": twice}), None)
        assert "pea_kd" in refused(api, body, "incompatible_small_model", "#/method/gate/small_model")

    def test_a_small_model_with_other_tables(self, api):
        small = ENCODER.at(SMALL).model_copy(update={"vocabulary": 8000})
        body = self.gated(api, "text_classification", small, None)
        detail = refused(api, body, "incompatible_small_model", "#/method/gate/small_model")
        assert "vocabulary is 8000" in detail
