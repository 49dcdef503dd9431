"""A share of an endpoint's texts also goes to a second model, to see how often it answers the same.

That is done once an answer is under way, a text at a time, and only while nobody waits for a prediction: what
comes at another time is dropped, and counted.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from app.domain.documents.endpoint_target import ServedExport
from app.domain.errors import SqueezeError
from app.engine.tokenizing import Input
from app.inference.metrics import MOST_ENDPOINTS, ShadowOutcome, shadowed
from app.inference.predictors.results import (
    FoundAnswers,
    MaskFills,
    NamedEntities,
    Number,
    RankedLabels,
    Result,
    TaggedWords,
    TranslatedText,
    Vector,
)
from app.inference.scheduling import expected_tokens

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 256
"""Texts; further ones are dropped."""

_MOST_TOKENS: Final = 2048
"""Of a text, about: longer ones are dropped."""

_PAUSE_S: Final = 0.01
"""After which the answer has been sent."""


class Shadow(NamedTuple):
    """To whom the texts of a request go as well."""

    project_id: str
    endpoint: str
    model: str
    """Which answers the endpoint."""
    export: ServedExport


@dataclass(frozen=True, slots=True)
class ShadowAgreement:
    """Of the models of an endpoint, as this process has seen it."""

    model: str
    shadow: str
    texts: int = 0
    agreement: float = 0.0
    """Sum over the texts."""


class ShadowText(NamedTuple):
    """A text that was answered, and that the shadow is asked as well."""

    shadow: Shadow
    text: Input
    options: Any
    answer: Result


AskShadow: TypeAlias = Callable[[ShadowText], Awaitable[Result | None]]
"""Asks the shadow; None where there is no room to load it."""


class ShadowTraffic:
    """What waits for shadows, and what came of it. Belongs to one event loop.

    Args:
        ask: asks the shadow.
        is_busy: whether somebody waits for a prediction.
    """

    def __init__(self, ask: AskShadow, *, is_busy: Callable[[], bool]) -> None:
        self._ask = ask
        self._is_busy = is_busy
        self._waiting: deque[ShadowText] = deque()
        self._seen: OrderedDict[tuple[str, str], ShadowAgreement] = OrderedDict()
        self._work: asyncio.Task[None] | None = None

    def add(self, shadow: Shadow, texts: Sequence[Input], options: Any, answers: Sequence[Result]) -> None:
        """Take texts of a request that is answered."""
        for text, answer in zip(texts, answers, strict=True):
            is_short = expected_tokens(text, longest=None) <= _MOST_TOKENS
            if is_short and len(self._waiting) < MOST_WAITING:
                self._waiting.append(ShadowText(shadow, text, options, answer))
            else:
                _count(shadow, "dropped")
        if self._work is None and self._waiting:
            self._work = asyncio.create_task(self._compare_waiting())

    def agreement(self, project_id: str, endpoint: str) -> ShadowAgreement | None:
        """That of an endpoint, if any text was compared. May be called from any thread."""
        return self._seen.get((project_id, endpoint))

    async def close(self) -> None:
        """Leave what waits."""
        self._waiting.clear()
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _compare_waiting(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_PAUSE_S)
                while self._waiting:
                    await self._compare(self._waiting.popleft())
        finally:
            self._work = None

    async def _compare(self, asked: ShadowText) -> None:
        if self._is_busy():
            _count(asked.shadow, "dropped")
            return
        try:
            answer = await self._ask(asked)
        except SqueezeError as error:
            logger.info(
                "shadow %s of endpoint %s: %s",
                asked.shadow.export.model,
                asked.shadow.endpoint,
                error.message,
            )
            _count(asked.shadow, "failed")
        except Exception:
            logger.exception("shadow %s of endpoint %s", asked.shadow.export.model, asked.shadow.endpoint)
            _count(asked.shadow, "failed")
        else:
            if answer is None:
                _count(asked.shadow, "dropped")
            else:
                self._note(asked.shadow, agreement(asked.answer, answer))

    def _note(self, shadow: Shadow, agreement: float) -> None:
        _count(shadow, "compared", agreement)
        key = shadow.project_id, shadow.endpoint
        seen = self._seen.pop(key, None)
        if seen is None or (seen.model, seen.shadow) != (shadow.model, shadow.export.model):
            seen = ShadowAgreement(shadow.model, shadow.export.model)
        self._seen[key] = ShadowAgreement(seen.model, seen.shadow, seen.texts + 1, seen.agreement + agreement)
        if len(self._seen) > MOST_ENDPOINTS:
            self._seen.popitem(last=False)


def agreement(one: Result, other: Result) -> float:
    """How far two models say the same of a text: 1 or 0, of vectors their cosine.

    Of numbers it is 1 less their distance, where that is below 1.
    """
    match one, other:
        case Vector(values=a), Vector(values=b):
            return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float32).tiny))
        case Number(value=x), Number(value=y):
            return max(0.0, 1.0 - abs(x - y))
    return float(_said(one) == _said(other))


def _said(result: Result) -> object:
    """What an answer comes to, without its scores."""
    match result:
        case RankedLabels(labels=labels):
            if labels[0].passes is None:
                return labels[0].label
            return {label for label, _, passes in labels if passes}
        case NamedEntities(entities=entities):
            return [(entity.kind, entity.start, entity.end) for entity in entities]
        case TaggedWords(words=words):
            return [(word.tag, word.start, word.end) for word in words]
        case MaskFills(fills=fills):
            return fills[0].token
        case FoundAnswers(best=best):
            return best.text
        case TranslatedText(text=text):
            return text
        case _:
            return result


def _count(shadow: Shadow, outcome: ShadowOutcome, agreement: float = 0.0) -> None:
    shadowed(shadow.project_id, shadow.endpoint, outcome, agreement)
