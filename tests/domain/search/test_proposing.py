"""What searches find among students whose quality is known: it falls with size, differently by method."""

import math
import random
import statistics
from typing import NamedTuple

from app.domain.documents.auto import Goals, SearchBudget
from app.domain.documents.search import Candidate, SearchState
from app.domain.documents.target import Target
from app.domain.documents.training import TrainingSpec
from app.domain.methods import METHOD_SPECS
from app.domain.search.proposing import propose
from app.domain.search.steps import Ended, take_step, with_runs
from tests.domain.search.states import measured

TEACHER = 22_000_000
RETAIN, WIDTH = 0.95, 0.01
METHODS = ["weight_squeezing", "weight_inherited", "low_rank", "distillation", "bilstm", "tfidf"]


class Known(NamedTuple):
    candidate: Candidate
    after_short_run: float
    after_full_run: float


def known_students(seed: int) -> list[Known]:
    """Six methods, five sizes, two vocabularies; what is retained falls with the logarithm of the size."""
    draw = random.Random(seed)
    students = []
    for name in METHODS:
        lost = math.exp(draw.gauss(math.log(0.02), 0.7))
        bend, short_of = draw.uniform(1, 2), draw.uniform(1.2, 2)
        if name == "tfidf":
            lost, short_of = 0.1, 1
        for ratio in (2, 4, 8, 16, 32):
            for words, penalty in ((1, 0), (0.8, draw.uniform(0, 0.004))):
                parameters = int(words * TEACHER / ratio)
                lacking = lost * math.log2(TEACHER / parameters) ** bend + penalty
                full = max(0.3, 1 - lacking + draw.gauss(0, 0.004))
                candidate = Candidate(
                    method=METHOD_SPECS[name](name=name),
                    target=Target(compression_ratio=ratio),
                    training=TrainingSpec(epochs=3),
                    parameters=parameters,
                    size_mb={"fp32": 4e-6 * parameters},
                    seconds=100,
                    training_seconds=90,
                )
                short = max(0.2, 1 - (1 - full) * short_of + draw.gauss(0, 0.006))
                students.append(Known(candidate, short, full))
    return students


def found_over_best(seed: int) -> float | None:
    """How many times as large as the best a search of eight trials finds; None where none meets the goal."""
    students = known_students(seed)
    meeting = [known.candidate.parameters for known in students if known.after_full_run - WIDTH >= RETAIN]
    if not meeting:
        return None
    state = SearchState(
        goals=Goals(retain=RETAIN, minimize="parameters"),
        budget=SearchBudget(trials=8),
        candidates=[known.candidate for known in students],
    )
    ended: dict[str, Ended] = {}
    while not state.is_over:
        step = take_step(state, ended, elapsed_s=0, propose=propose)
        state = with_runs(
            step.state, step.runs, [f"{len(step.state.trials)}.{at}" for at in range(len(step.runs))]
        )
        ended = {}
        for trial in state.running[:1]:
            known = students[trial.candidate]
            full = trial.share >= 1 or not known.candidate.method.trains_in_steps
            retained = known.after_full_run if full else known.after_short_run
            found = measured(retained, known.candidate.parameters, width=WIDTH)
            ended[trial.job] = Ended("finished", "student", (found,))
    best = state.outcome.best
    if best is None:
        return math.inf
    return students[state.trials[best.trial - 1].candidate].candidate.parameters / min(meeting)


def test_eight_trials_of_sixty_candidates_mostly_find_the_smallest_student() -> None:
    found = [times for seed in range(40) if (times := found_over_best(seed)) is not None]
    assert len(found) > 30
    assert statistics.median(found) < 1.3
    assert sum(times < 1.3 for times in found) > 0.6 * len(found)
    assert sum(math.isinf(times) for times in found) < 0.15 * len(found)


def test_methods_come_first_at_one_size() -> None:
    state = SearchState(
        goals=Goals(retain=RETAIN),
        budget=SearchBudget(trials=8),
        candidates=[known.candidate for known in known_students(0)],
    )
    step = take_step(state, {}, elapsed_s=0, propose=propose)
    chosen = [state.candidates[run.candidate] for run in step.runs]
    assert len({candidate.method.name for candidate in chosen}) == len(chosen) == 4
    assert {candidate.target.compression_ratio for candidate in chosen} == {8}
