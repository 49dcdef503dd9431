"""What operators see of predictions, by model."""

from collections import OrderedDict
from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

Stage = Literal["wait", "tokenize", "run"]
ShadowOutcome = Literal["compared", "dropped", "failed"]

MOST_ENDPOINTS: Final = 1000
"""Which metrics are kept of at once: those that were asked last."""

WAITING: Final = Gauge("squeeze_predict_waiting_texts", "Texts admitted and not yet predicted.")
LOADED: Final = Gauge("squeeze_predict_loaded_models", "Models in memory, counted per precision.")

_LABELS = ("project", "model", "precision")
_SECONDS = Histogram(
    "squeeze_predict_seconds",
    "Seconds that a request's texts wait for their turn, and that a batch is tokenized and run.",
    [*_LABELS, "stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_TEXTS = Histogram(
    "squeeze_predict_batch_texts", "Texts per batch.", _LABELS, buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
_PADDING = Histogram(
    "squeeze_predict_padding_ratio",
    "Fraction of padding tokens per batch.",
    _LABELS,
    buckets=(0, 0.05, 0.1, 0.2, 0.4, 0.8),
)
_TOKENS = Counter("squeeze_predict_tokens_total", "Tokens predicted, without padding.", _LABELS)

_CASCADE = Counter(
    "squeeze_predict_cascade_texts_total",
    "Texts of endpoints with a fallback, by who answered them.",
    ["project", "endpoint", "answered_by"],
)

_SHADOW = Counter(
    "squeeze_predict_shadow_texts_total",
    "Texts of endpoints with a shadow that were drawn for it, by what came of it.",
    ["project", "endpoint", "outcome"],
)
_AGREEMENT = Counter(
    "squeeze_predict_shadow_agreement_total",
    "Of compared texts: 1 for the same answer, 0 for another; the cosine of vectors.",
    ["project", "endpoint"],
)
_CACHE = Counter(
    "squeeze_predict_cached_texts_total", "Texts that were looked up in the cache of answers.", ["outcome"]
)
_shown_endpoints: OrderedDict[tuple[str, str], None] = OrderedDict()

_STAGES: Final[tuple[Stage, ...]] = ("wait", "tokenize", "run")


def answered_by_cascade(project_id: str, endpoint: str, *, student: int, fallback: int) -> None:
    """Count texts of an endpoint by who answered them."""
    _show_endpoint(project_id, endpoint)
    _CASCADE.labels(project_id, endpoint, "student").inc(student)
    _CASCADE.labels(project_id, endpoint, "fallback").inc(fallback)


def looked_up(*, hits: int, misses: int) -> None:
    """Count texts that were looked up in the cache of answers."""
    _CACHE.labels("hit").inc(hits)
    _CACHE.labels("miss").inc(misses)


def shadowed(project_id: str, endpoint: str, outcome: ShadowOutcome, agreement: float) -> None:
    """Count a text of an endpoint that was drawn for its shadow."""
    _show_endpoint(project_id, endpoint)
    _SHADOW.labels(project_id, endpoint, outcome).inc()
    _AGREEMENT.labels(project_id, endpoint).inc(max(0.0, agreement))


def _show_endpoint(project_id: str, endpoint: str) -> None:
    """Keep the labels of an endpoint, and drop those of one that was not asked for long."""
    _shown_endpoints[project_id, endpoint] = None
    _shown_endpoints.move_to_end((project_id, endpoint))
    while len(_shown_endpoints) > MOST_ENDPOINTS:
        (project, name), _ = _shown_endpoints.popitem(last=False)
        for family in (_CASCADE, _SHADOW, _AGREEMENT):
            family.remove_by_labels({"project": project, "endpoint": name})


class PredictionMetrics:
    """Those of one model in one precision, for as long as it is loaded."""

    def __init__(self, project_id: str, model_id: str, precision: str) -> None:
        self._labels = (project_id, model_id, precision)
        self._seconds = {stage: _SECONDS.labels(*self._labels, stage) for stage in _STAGES}
        self._texts = _TEXTS.labels(*self._labels)
        self._padding = _PADDING.labels(*self._labels)
        self._tokens = _TOKENS.labels(*self._labels)

    def took(self, stage: Stage, seconds: float) -> None:
        self._seconds[stage].observe(seconds)

    def ran(self, *, texts: int, tokens: int, padded_tokens: int) -> None:
        """A batch was run; ``padded_tokens`` are all that it had with its padding."""
        self._texts.observe(texts)
        self._padding.observe(1 - tokens / padded_tokens)
        self._tokens.inc(tokens)

    def close(self) -> None:
        """Show nothing of the model any more: it is not loaded."""
        for stage in _STAGES:
            _SECONDS.remove(*self._labels, stage)
        for family in (_TEXTS, _PADDING, _TOKENS):
            family.remove(*self._labels)
