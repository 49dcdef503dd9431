"""What the papers promise, as the rows answer it."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from benchmarks.harness import Goal, Row, mean, median, ratio
from benchmarks.methods.parts import GLUE


def gain(
    rows: Sequence[Row], part: str, name: str, ours: Sequence[str], theirs: Sequence[str], *, size: str = ""
) -> float | None:
    """Points of the best of some variants over the best of others, means over seeds."""
    best = [_best(rows, part, name, variants, size) for variants in (ours, theirs)]
    return None if best[0] is None or best[1] is None else best[0] - best[1]


def least_gain(rows: Sequence[Row], part: str, ours: Sequence[str], theirs: Sequence[str]) -> float | None:
    """The smallest of the gains on the sets other than SST-2."""
    gains = [gain(rows, part, name, ours, theirs) for name in ("cola", "rte", "stsb")]
    known = [found for found in gains if found is not None]
    return min(known) if len(known) == len(gains) else None


def retention(rows: Sequence[Row], variants: Sequence[str], *, size: str) -> float | None:
    """Percent of the teacher's average over the sets that the best variant keeps, sets weighing alike."""
    kept = []
    for name in GLUE:
        teacher = mean(rows, "dev", part="teacher", set=name)
        student = _best(rows, "weight_inherited", name, variants, size)
        if teacher is None or student is None:
            return None
        kept.append((student, teacher))
    return 100 * sum(s for s, _ in kept) / sum(t for _, t in kept)


def _pea_gain(rows: Sequence[Row], size: str) -> float | None:
    gains = [
        gain(rows, "pea_kd", name, ["pea_kd"], ["patient KD"], size=size) for name in ("sst2", "rte", "cola")
    ]
    known = [found for found in gains if found is not None]
    return fmean(known) if len(known) == len(gains) else None


def _mean_pea_gain(rows: Sequence[Row]) -> float | None:
    found = [_pea_gain(rows, f"k={layers}") for layers in (1, 2, 3)]
    known = [value for value in found if value is not None]
    return fmean(known) if len(known) == len(found) else None


def _best(rows: Sequence[Row], part: str, name: str, variants: Sequence[str], size: str) -> float | None:
    found = [mean(rows, "dev", part=part, set=name, variant=variant, size=size) for variant in variants]
    known = [value for value in found if value is not None]
    return max(known) if len(known) == len(found) else None


def _lead(rows: Sequence[Row], size: str) -> float | None:
    ours, theirs = (retention(rows, variants, size=size) for variants in (_INHERITED, _OTHERS))
    return None if ours is None or theirs is None else ours - theirs


def _gated_gain(rows: Sequence[Row]) -> float | None:
    gains = [gain(rows, "gated", name, ["gated"], ["fine_tuning"]) for name in GLUE]
    known = [found for found in gains if found is not None]
    return fmean(known) if len(known) == len(gains) else None


def _speed(rows: Sequence[Row], part: str, name: str, variant: str) -> float | None:
    """How many times faster than its teacher a student answers one text."""
    where: Row = {"part": f"latency {part}", "set": name, "variant": variant, "size": ""}
    return ratio(median(rows, "teacher_fp32_ms_1", **where), median(rows, "fp32_ms_1", **where))


def _shrinkage(rows: Sequence[Row], part: str, name: str, variant: str) -> float | None:
    return ratio(
        median(rows, "parameters", part="teacher", set=name),
        median(rows, "parameters", part=part, set=name, variant=variant),
    )


def _kept(rows: Sequence[Row], part: str, name: str, variant: str, *, size: str = "") -> float | None:
    kept = ratio(_best(rows, part, name, [variant], size), mean(rows, "dev", part="teacher", set=name))
    return None if kept is None else 100 * kept


def _behind_teacher(rows: Sequence[Row], part: str, name: str, variant: str) -> float | None:
    teacher = mean(rows, "dev", part="teacher", set=name)
    student = _best(rows, part, name, [variant], "")
    return None if teacher is None or student is None else teacher - student


def _kept_answers(rows: Sequence[Row], variants: Sequence[str]) -> float | None:
    """Percent of the teacher's F1 on the short contexts, of the best variant that was measured."""
    kept = [_kept(rows, "question_answering", "subjqa_short", variant, size="half") for variant in variants]
    return max((share for share in kept if share is not None), default=None)


_SQUEEZED = ["weight_squeezing", "weight_squeezing + KD"]
_INHERITED = ["weight_inherited", "weight_inherited + KD"]


def _of_squeezed_vectors(rows: Sequence[Row], column: str) -> float | None:
    return mean(rows, column, part="embeddings", variant="weight_squeezing")


def _vectors_kept(rows: Sequence[Row], column: str) -> float | None:
    whole = mean(rows, column, part="teacher", set="sentences")
    kept = ratio(_of_squeezed_vectors(rows, column), whole)
    return None if kept is None else 100 * kept


def _vectors_ahead(rows: Sequence[Row], column: str) -> float | None:
    """Points over the better of the controls."""
    controls = [
        mean(rows, column, part="embeddings", variant=name) for name in ("distillation", "weight_copy")
    ]
    known = [found for found in controls if found is not None]
    ours = _of_squeezed_vectors(rows, column)
    return None if ours is None or len(known) < len(controls) else ours - max(known)


_OTHERS = ["patient KD", "patient KD, lighter", "MiniLMv2 + KD"]

GOALS = [
    Goal(
        "weight squeezing at least 1.0 point over distillation and scratch on SST-2",
        lambda rows: gain(rows, "weight_squeezing", "sst2", _SQUEEZED, ["scratch", "distillation"]),
        at_least=1.0,
    ),
    Goal(
        "weight squeezing ahead of distillation and scratch on CoLA, RTE and STS-B (the smallest gain)",
        lambda rows: least_gain(rows, "weight_squeezing", _SQUEEZED, ["scratch", "distillation"]),
        at_least=0.01,
    ),
    Goal(
        "WID keeps 98.9 % of the teacher at half its parameters",
        lambda rows: retention(rows, _INHERITED, size="half"),
        at_least=98.9,
    ),
    Goal(
        "WID keeps 90.9 % of the teacher at a tenth of its parameters",
        lambda rows: retention(rows, _INHERITED, size="tenth"),
        at_least=90.9,
    ),
    Goal(
        "weight squeezing keeps 95 % of the teacher's micro F1 on GoEmotions at a quarter of its parameters",
        lambda rows: _kept(rows, "weight_squeezing", "goemotions", "weight_squeezing + KD", size="quarter"),
        at_least=95.0,
    ),
    *(
        Goal(
            f"WID ahead of patient and MiniLMv2-style distillation at {size}, percent of the teacher",
            partial(_lead, size=size),
            at_least=0.01,
        )
        for size in ("half", "tenth")
    ),
    *(
        Goal(
            f"Pea-KD ahead of patient distillation at k = {layers}, mean of SST-2, RTE and CoLA",
            partial(_pea_gain, size=f"k={layers}"),
            at_least=0.01,
        )
        for layers in (1, 2, 3)
    ),
    Goal(
        "gated squeezing ahead of fine-tuning the same small model, mean of the sets",
        _gated_gain,
        at_least=0.01,
    ),
    Goal(
        "weight distillation at least 0.51 BLEU over sequence-level distillation",
        lambda rows: gain(rows, "weight_distillation", "multi30k", ["weight_distillation"], ["sequence KD"]),
        at_least=0.51,
    ),
    Goal(
        "... and ahead of distillation into copied weights",
        lambda rows: gain(
            rows, "weight_distillation", "multi30k", ["weight_distillation"], ["weight_copy + KD"]
        ),
        at_least=0.01,
    ),
    Goal(
        "its student at least 1.88 times as fast as the teacher, one text in fp32",
        lambda rows: _speed(rows, "weight_distillation", "multi30k", "weight_distillation"),
        at_least=1.88,
    ),
    Goal(
        "BiLSTM within 1 point of its teacher with 500 labels a class",
        lambda rows: _behind_teacher(rows, "bilstm", "sst2_500", "bilstm, stagewise"),
        at_most=1.0,
    ),
    Goal(
        "... at 10 times fewer parameters",
        lambda rows: _shrinkage(rows, "bilstm", "sst2_500", "bilstm, stagewise"),
        at_least=10.0,
    ),
    Goal(
        "... and 20 times lower latency of one text in fp32",
        lambda rows: _speed(rows, "bilstm", "sst2_500", "bilstm, stagewise"),
        at_least=20.0,
    ),
    Goal(
        "one BiLSTM for four languages keeps 95 % of the teacher's F1",
        lambda rows: _kept(rows, "xtreme", "ner4", "bilstm, stagewise"),
        at_least=95.0,
    ),
    Goal(
        "stages ahead of joint training",
        lambda rows: gain(rows, "xtreme", "ner4", ["bilstm, stagewise"], ["bilstm, joint"]),
        at_least=0.01,
    ),
    Goal(
        "WID keeps 95 % of the teacher's F1 on answerable questions of SubjQA at half its parameters",
        lambda rows: _kept_answers(rows, _INHERITED),
        at_least=95.0,
    ),
    Goal(
        "... where squeezing is ahead of distillation and scratch",
        lambda rows: gain(
            rows,
            "question_answering",
            "subjqa_short",
            ["weight_squeezing + KD"],
            ["scratch", "distillation"],
            size="half",
        ),
        at_least=0.01,
    ),
    Goal(
        "WID that drops whole heads at most one point behind squeezing on sentence pairs",
        lambda rows: gain(
            rows, "widths_of_heads", "stsb_pairs", ["weight_inherited, whole heads"], ["weight_squeezing"]
        ),
        at_least=-1.0,
    ),
    Goal(
        "... and at most one point behind WID that narrows each on single sentences (CoLA)",
        lambda rows: gain(
            rows,
            "widths_of_heads",
            "cola",
            ["weight_inherited, whole heads"],
            ["weight_inherited, narrow heads"],
        ),
        at_least=-1.0,
    ),
    Goal("Pea-KD at least 2 points ahead on average over k", _mean_pea_gain, at_least=2.0),
    Goal(
        "weight squeezing keeps 97 % of MiniLM's Spearman on STS-B's test side at a third of its parameters",
        lambda rows: _vectors_kept(rows, "test_spearman"),
        at_least=97.0,
    ),
    Goal(
        "... and 80 % of the ten nearest sentences of each",
        lambda rows: _of_squeezed_vectors(rows, "test_neighbour_recall_at_10"),
        at_least=80.0,
    ),
    Goal(
        "... ahead of distillation from random and from copied weights (points of Spearman)",
        lambda rows: _vectors_ahead(rows, "test_spearman"),
        at_least=0.01,
    ),
    Goal(
        "... and in nearest sentences (points)",
        lambda rows: _vectors_ahead(rows, "test_neighbour_recall_at_10"),
        at_least=0.01,
    ),
]
