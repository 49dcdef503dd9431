from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import MethodCard
from app.domain.methods.spec import Spec, StudentKind
from app.domain.tasks import Task, tasks_of


class TfidfSpec(Spec):
    """Fits a logistic regression on TF-IDF of word pieces and pairs of them, in seconds: a control."""

    name: Literal["tfidf"]
    inverse_regularisation: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="C of the logistic regression; default: of 1, 4 and 16 the one that is best on dev.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Logistic regression on TF-IDF",
        when="As a control: what words alone say of the labels. If another method's student is no better, "
        "take this one, or look for better data. It learns from labels, or from the choices of "
        "teacher_scores that stand for them, and needs no teacher.",
        tasks=tasks_of("tfidf"),
        embedding_options=[],
        needs_head=False,
    )
    students: ClassVar[tuple[StudentKind, ...]] = ("tfidf",)
    reads_weights: ClassVar[bool] = False
    trains_in_steps: ClassVar[bool] = False
    tasks_without_teacher: ClassVar[tuple[Task, ...]] = tuple(tasks_of("tfidf"))
