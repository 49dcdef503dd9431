"""Results and problems in the forms that clients of Hugging Face read."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from app.inference.predictors.results import (
    NO_ANSWER,
    FoundAnswer,
    FoundAnswers,
    MaskFills,
    NamedEntities,
    Number,
    RankedLabels,
    Result,
    TaggedWord,
    TaggedWords,
    TranslatedText,
    Vector,
)
from app.inference.protocols.huggingface.schemas import (
    Answer,
    Answers,
    Entity,
    EntityGroup,
    Fill,
    Score,
    Translation,
)
from app.problems import ProblemDetails

_SCORE = "score"
"""The label of a number: clients read it as a classifier's answer."""


def render_results(results: Sequence[Result], *, is_list: bool) -> Answers:
    """The answer to a request; ``is_list`` says whether it gave its inputs in a list."""
    kind = type(results[0])
    answers = [_RENDER[kind](result) for result in results]
    return answers[0] if kind in _ALONE and not is_list else answers


def render_problem(problem: ProblemDetails) -> dict[str, Any]:
    """RFC 9457, with the detail as ``error``, a string: all that these clients show."""
    return {**problem.members(), "error": problem.detail}


def pointer_to(argument: str) -> str:
    """Where a request has an argument of the prediction."""
    return "#/inputs" if argument == "inputs" else f"#/parameters/{argument}"


def _labels(result: RankedLabels) -> list[Score]:
    scores: list[Score] = [
        {"label": label, "score": score}
        if passes is None
        else {"label": label, "score": score, "passes": passes}
        for label, score, passes in result.labels
    ]
    if result.model is not None:
        for score in scores:
            score["model"] = result.model
    return scores


def _number(result: Number) -> list[Score]:
    return [{"label": _SCORE, "score": result.value}]


def _words(result: TaggedWords) -> list[Entity]:
    return [_word(word) for word in result.words]


def _word(tagged: TaggedWord) -> Entity:
    tag, score, word, start, end, token = tagged
    entity: Entity = {"entity": tag, "score": score, "word": word, "start": start, "end": end}
    return entity if token is None else {**entity, "index": token}


def _entities(result: NamedEntities) -> list[EntityGroup]:
    return [
        {"entity_group": kind, "score": score, "word": word, "start": start, "end": end}
        for kind, score, word, start, end in result.entities
    ]


def _fills(result: MaskFills) -> list[Fill]:
    return [
        {"score": score, "token": token_id, "token_str": token, "sequence": sequence}
        for token_id, token, score, sequence in result.fills
    ]


def _translation(result: TranslatedText) -> Translation:
    return {"translation_text": result.text}


def _answers(result: FoundAnswers) -> Answer | list[Answer]:
    if result.is_one:
        return _answer(result.best)
    return [_answer(answer) for answer in result.answers or [NO_ANSWER]]


def _answer(answer: FoundAnswer) -> Answer:
    return {"score": answer.score, "start": answer.start, "end": answer.end, "answer": answer.text}


def _vector(result: Vector) -> list[float]:
    values: list[float] = result.values.tolist()
    return values


_RENDER: Final[dict[type[Result], Callable[[Any], Any]]] = {
    RankedLabels: _labels,
    Number: _number,
    TaggedWords: _words,
    NamedEntities: _entities,
    MaskFills: _fills,
    TranslatedText: _translation,
    FoundAnswers: _answers,
    Vector: _vector,
}

_ALONE: Final = frozenset({TaggedWords, NamedEntities, MaskFills, FoundAnswers})
"""Answers of a single input that stand outside of a list, as clients of such tasks expect it."""
