"""What plans count is what jobs go through."""

from app.domain.architectures import EncoderShape
from app.domain.documents import TrainingSpec
from app.domain.planning import TypicalRow, Workload, estimate
from app.domain.planning.stages import FETCHING, PREPARING, STARTING, STORING, TEACHER_OUTPUTS
from app.domain.tasks import Head
from tests.domain.planning.teachers import MINILM, method
from worker.job.stages import STAGES


def test_plans_count_every_stage() -> None:
    """What jobs do not always do is planned where it is done: trimming, comparing, reducing, controls."""
    small = MINILM.at(EncoderShape(layers=3, hidden=192, heads=6, ffn=768))
    job = Workload(
        student=small.model_copy(update={"vocabulary": 8000}),
        method=method("weight_copy", distillation={}),
        head=Head(task="sentence_embedding", outputs=100),
        rows=100,
        row=TypicalRow(tokens=10),
        training=TrainingSpec(epochs=1),
        teacher=MINILM,
        given=MINILM,
        dev=10,
        is_compared=True,
        has_controls=True,
    )
    planned = estimate(job).stages
    names = [FETCHING, STARTING, *(stage.name for stage in STAGES), STORING]
    assert {stage.stage for stage in planned} == {*names, PREPARING, TEACHER_OUTPUTS}
    assert [stage.stage for stage in planned if stage.stage in names] == names
    assert all(stage.seconds > 0 for stage in planned)
