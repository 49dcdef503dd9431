"""What is known of a task without a framework: one record a task, which every layer asks."""

from dataclasses import dataclass
from typing import Literal

Answering = Literal["text", "token", "span", "written"]
"""One answer for a text, one for each asked token, a stretch of tokens, or a text that is written token by
token."""

HeadKind = Literal["text", "token", "span", "word", "vector"]
"""Which of an encoder's heads: one that answers for a text, for each token, says where a stretch of tokens
begins and ends, gives words, or a vector."""

Outputs = Literal["labels", "number", "span", "vocabulary", "vector"]
"""What one answer's outputs are: a score for each label, one number, scores of beginning and ending at a
token, a score for each token of the vocabulary, or dimensions."""

Activation = Literal["sigmoid"]
"""What a head's one output goes through to become an answer."""

NetworkKind = Literal["encoder", "bilstm", "tfidf", "encoder_decoder", "static"]

Scoring = Literal["distribution", "per_label", "number", "text", "vector"]
"""How a teacher that is no model here says its answer: a probability for each label that sum to 1, one for
each label by itself, a number, the text itself, or a vector."""

LANGUAGE = "language"
"""A column that any task's rows may have."""

TEACHER_SCORES = "teacher_scores"
"""A column with what a teacher says of each row."""


@dataclass(frozen=True)
class Columns:
    """The columns of an uploaded table that a task reads."""

    inputs: tuple[str, ...]
    target: str | None
    """What is predicted; None where the texts themselves are."""
    pair: str | None = None
    """A second text, which rows may have."""
    target_alias: str | None = None
    """A column that is read in place of the target where that is missing."""
    unlabeled_input: str | None = None
    """A column that unlabeled rows may have in place of the input."""
    measure: str | None = None
    """A column that rows of pairs may have: nothing is learnt from it, dev and test are measured by it."""

    @property
    def required(self) -> tuple[str, ...]:
        return self.inputs if self.target is None else (*self.inputs, self.target)

    @property
    def optional(self) -> tuple[str, ...]:
        given = (self.pair, self.target_alias, self.unlabeled_input, self.measure, LANGUAGE, TEACHER_SCORES)
        return tuple(name for name in given if name is not None)


@dataclass(frozen=True)
class Metric:
    """A number that evaluation reports."""

    name: str
    selects: bool = False
    """Whether a training can keep its best step by it."""
    higher_is_better: bool = True
    needs_labels: int | None = None
    """Only with so many labels; None: whatever there are."""


@dataclass(frozen=True)
class TaskRecord:
    """A task: what its data look like, what a network answers, how answers are judged and shown."""

    columns: Columns
    columns_help: str
    """The columns in Markdown, for the documentation of the API."""
    answering: Answering
    head: HeadKind | None
    """None where a decoder writes the answer."""
    outputs: Outputs
    networks: tuple[NetworkKind, ...]
    """Kinds of networks that can do it."""
    metrics: tuple[Metric, ...]
    """The main one first: teacher and student are compared by it."""
    judged_by: str
    """The main metric in words, for the documentation."""
    trivial_answer: str
    """What a model that has learnt nothing can always answer; the baseline of the report."""
    predictor: str
    """Which predictor of the inference layer answers requests."""
    answer_help: str
    """The form of an answer in Markdown, for the documentation of the API."""
    answer_example: str
    """One answer as JSON, for the README."""
    problem_type: str | None = None
    """Hugging Face's name in a config, where heads of one kind serve several tasks."""
    names_problem_type: bool = False
    """Whether a config has to name it: without one, a head is taken for ``single_label_classification``."""
    masks_inputs: bool = False
    """Whether tokens of the input are hidden and asked for."""
    label_smoothing: float = 0.0
    """The default of ``training.label_smoothing``."""
    scoring: Scoring | None = None
    """How ``teacher_scores`` are read; None where a teacher is only asked while the student trains."""
    cascades: bool = False
    """Whether a teacher can be asked where its student is not sure: of the one label that it chooses."""

    @property
    def has_labels(self) -> bool:
        """Whether it chooses among named labels."""
        return self.outputs == "labels"

    @property
    def answers_in_tokens(self) -> bool:
        """Whether an answer is as wide as the vocabulary, and another once that is trimmed."""
        return self.outputs == "vocabulary"

    @property
    def answers_for_tokens(self) -> bool:
        """Whether the head says something of each token."""
        return self.answering in ("token", "span")

    @property
    def answers_in_vectors(self) -> bool:
        """Whether the teacher's answers are all there is to learn, and any encoder has some."""
        return self.outputs == "vector"

    @property
    def takes_pairs(self) -> bool:
        """Whether an answer may be about two texts together."""
        return self.columns.pair is not None and not self.answers_in_vectors

    @property
    def writes(self) -> bool:
        return self.answering == "written"

    @property
    def main_metric(self) -> str:
        return self.metrics[0].name

    @property
    def selecting_metrics(self) -> tuple[str, ...]:
        """By which a training can keep its best step; none where it is always the loss."""
        return tuple(metric.name for metric in self.metrics if metric.selects)

    def selecting_metrics_of(self, labels: int) -> tuple[str, ...]:
        """Those that there are with so many labels."""
        return tuple(
            metric.name for metric in self.metrics if metric.selects and metric.needs_labels in {None, labels}
        )

    @property
    def selects_by_loss(self) -> bool:
        return not self.selecting_metrics

    def output_count(self, *, labels: int, vocabulary: int, dimensions: int) -> int:
        """Numbers of one answer."""
        match self.outputs:
            case "labels":
                return labels
            case "number":
                return 1
            case "span":
                return 2
            case "vocabulary":
                return vocabulary
            case "vector":
                return dimensions
