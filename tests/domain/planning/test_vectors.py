"""Students that answer with vectors: how many dimensions they have, and how large tables of vectors are."""

import pytest

from app.domain.architectures import Architecture, EncoderShape, StaticArchitecture, StaticShape
from app.domain.documents import Target, TrainingSpec
from app.domain.documents.manifest import DatasetManifest, Files, ModelManifest, SplitSummary
from app.domain.errors import InvalidRequest
from app.domain.job_vectors import job_dimensions, require_dimensions
from app.domain.planning import TypicalRow, Workload, estimate, plan_student
from app.domain.pooling import Pooling
from app.domain.tasks import Head
from tests.domain.planning.teachers import MINILM, method

VECTORS = Head(task="sentence_embedding", outputs=384)
STATIC = method("static_embedding")
NO_FILES = Files(prefix="none", entries={})


def model(architecture: Architecture = MINILM, pooling: Pooling | None = None) -> ModelManifest:
    return ModelManifest(
        files=NO_FILES,
        architecture=architecture,
        task=None,
        labels=None,
        pooling=pooling,
        parameters=0,
        max_length=512,
    )


def data(task: str = "sentence_embedding", dimensions: int | None = None) -> DatasetManifest:
    splits = {name: SplitSummary(rows=10, words={}) for name in ("train", "dev")}
    return DatasetManifest(
        files=NO_FILES, task=task, labels=[], is_pair=False, splits=splits, dimensions=dimensions
    )


def planned(target: Target) -> StaticArchitecture:
    architecture = plan_student(MINILM, STATIC, target, head=VECTORS).architecture
    assert isinstance(architecture, StaticArchitecture)
    return architecture


class TestTables:
    def test_have_as_many_dimensions_as_a_budget_allows(self) -> None:
        found = planned(Target(max_parameters=1_000_000, vocabulary_size=8000))
        assert (found.width, found.vocabulary) == (125, 8000)
        assert found.count(head=VECTORS).total == 1_000_000
        assert planned(Target(max_parameters=10_000_000, vocabulary_size=8000)).width == 384

    def test_have_the_dimensions_that_are_asked_for(self) -> None:
        assert planned(Target(max_parameters=8_000_000, dimensions=64)).width == 64
        assert planned(Target(shape=StaticShape(dimensions=32))).width == 32

    @pytest.mark.parametrize(
        "target", [Target(max_parameters=50_000), Target(shape=StaticShape(dimensions=385))]
    )
    def test_are_refused_where_none_fits(self, target: Target) -> None:
        with pytest.raises(InvalidRequest):
            planned(target)

    def test_are_made_of_no_table(self) -> None:
        table = planned(Target(max_parameters=1_000_000))
        with pytest.raises(InvalidRequest, match="table of static vectors"):
            plan_student(table, STATIC, Target(compression_ratio=2), head=VECTORS)

    def test_cost_the_teacher_a_look_at_each_token(self) -> None:
        seconds = []
        for words in (1000, 30_522):
            job = Workload(
                student=planned(Target(shape=StaticShape(dimensions=64), vocabulary_size=words)),
                method=STATIC,
                head=VECTORS,
                rows=1000,
                row=TypicalRow(tokens=10),
                training=TrainingSpec(epochs=1),
                teacher=MINILM,
                given=MINILM,
            )
            seconds.append({stage.stage: stage.seconds for stage in estimate(job).stages}["preparing"])
        assert seconds[1] > 5 * seconds[0]


class TestDimensions:
    def test_are_the_teachers_or_fewer(self) -> None:
        target = Target(compression_ratio=2, dimensions=64)
        assert job_dimensions(model(), data(), None, learns_from_scores=False) == 384
        assert job_dimensions(model(), data(), target, learns_from_scores=False) == 64
        dense = model(pooling=Pooling(projection=128))
        assert job_dimensions(dense, data(), None, learns_from_scores=False) == 128

    def test_are_those_of_vectors_that_came_with_the_data(self) -> None:
        assert job_dimensions(model(), data(dimensions=1536), None, learns_from_scores=True) == 1536

    def test_are_none_of_other_tasks(self) -> None:
        assert job_dimensions(model(), data("text_classification"), None, learns_from_scores=False) == 0

    @pytest.mark.parametrize(
        ("teacher", "dataset", "target", "scores", "what"),
        [
            (model(), data("text_regression"), {"dimensions": 8}, False, "is for sentence_embedding"),
            (model(), data(), {"dimensions": 385}, False, "have 384"),
            (model(), data(dimensions=9), {"dimensions": 8}, True, "teacher_scores, of 9"),
            (
                model(pooling=Pooling(projection=64, activation="tanh")),
                data(),
                {"dimensions": 8},
                False,
                "ends in tanh",
            ),
        ],
    )
    def test_that_cannot_be_had_are_refused(
        self,
        teacher: ModelManifest,
        dataset: DatasetManifest,
        target: dict[str, int],
        scores: bool,
        what: str,
    ) -> None:
        with pytest.raises(InvalidRequest, match=what):
            require_dimensions(
                teacher, dataset, Target(compression_ratio=2, **target), learns_from_scores=scores
            )

    def test_widths_of_a_student_are_another_matter(self) -> None:
        shape = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
        head = Head(task="sentence_embedding", outputs=64)
        plan = plan_student(MINILM, method("weight_copy"), Target(shape=shape), head=head)
        assert plan.parameters.head == 192 * 64 + 64
