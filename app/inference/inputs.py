"""Whether what a client sends is what a model was trained on."""

from collections.abc import Sequence

from app.domain.documents.manifest import ModelManifest
from app.domain.tasks import TASKS, Task
from app.engine.tokenizing import Input, Question
from app.inference.predictors.errors import InvalidArgument


def require_inputs(model: ModelManifest, texts: Sequence[Input]) -> None:
    """Refuse texts for a model of pairs, pairs for a model of texts, words for any but taggers, empty texts.

    Questions with their contexts are for models that answer them, which take nothing else.

    Of a text of nothing but white space a classifier would say something all the same. A tagger finds nothing
    there, rightly, and a translation of it is as empty.

    Raises:
        InvalidArgument: one of them is, named by its place.
    """
    assert model.task is not None
    record = TASKS[model.task]
    wants_pairs = model.is_pair if record.takes_pairs else False
    needs_words = record.answering in ("text", "span")
    for position, text in enumerate(texts):
        if isinstance(text, list):
            if record.predictor != "tagger":
                raise _words(position, model.task)
            continue
        if isinstance(text, Question) != (record.answering == "span"):
            raise _question(position, model.task) if isinstance(text, Question) else _no_question(position)
        parts = (text,) if isinstance(text, str) else text
        is_pair = len(parts) > 1
        if wants_pairs is not None and not isinstance(text, Question) and is_pair != wants_pairs:
            raise _single_text(position) if wants_pairs else _pair(position, model.task)
        if needs_words and not all(part.strip() for part in parts):
            raise _fault("empty_text", position, "has an empty text. Leave it out.")


def _fault(code: str, position: int, what: str) -> InvalidArgument:
    return InvalidArgument(code, f"Input {position} {what}", argument="inputs", position=position)


def _single_text(position: int) -> InvalidArgument:
    return _fault(
        "pair_required",
        position,
        "is a single text; this model was trained on pairs of texts. Send "
        '{"text": "...", "text_pair": "..."}.',
    )


def _question(position: int, task: Task) -> InvalidArgument:
    what = f"is a question with its context; {task} models take texts. Send a text."
    return _fault("questions_not_supported", position, what)


def _no_question(position: int) -> InvalidArgument:
    return _fault(
        "question_required",
        position,
        "is no question with its context, which this model takes. Send "
        '{"question": "...", "context": "..."}.',
    )


def _words(position: int, task: Task) -> InvalidArgument:
    what = f"is a list of words; {task} models take texts. Send the words as one text."
    return _fault("words_not_supported", position, what)


def _pair(position: int, task: Task) -> InvalidArgument:
    takes = "this model was trained on single texts"
    if not TASKS[task].takes_pairs:
        takes = f"{task} models take single texts"
    return _fault("pairs_not_supported", position, f"is a text pair; {takes}. Send each text separately.")
