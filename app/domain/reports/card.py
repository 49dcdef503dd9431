"""The model card: the ``README.md`` of a student's folder, with the numbers of its job's report."""

from collections.abc import Mapping
from typing import Final

from app.domain.reports.markdown import report_markdown
from app.domain.reports.tables import Report
from app.domain.tasks import Task

CARD: Final = "README.md"

_PIPELINES: Final[Mapping[Task, str]] = {
    "text_classification": "text-classification",
    "multi_label_classification": "text-classification",
    "text_regression": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "masked_language_modeling": "fill-mask",
    "translation": "translation",
    "sentence_embedding": "sentence-similarity",
}
"""Hugging Face's names of tasks."""


def model_card(report: Report, task: Task) -> str:
    """The card, with what hubs read of it in front.

    It goes wherever the model goes, and so has no rows of the data set.
    """
    front = f"---\npipeline_tag: {_PIPELINES[task]}\ntags:\n- squeeze\n- model-compression\n---\n\n"
    return front + report_markdown(report, with_texts=False)
