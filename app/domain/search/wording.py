"""What a search has found, as a sentence."""

from app.domain.documents.search import Choice, Measurement, SearchState, Trial

_UNITS = {"max_latency_ms": " ms", "max_size_mb": " MB", "max_parameters": " parameters"}


def outcome_sentence(state: SearchState) -> str:
    """The best student; or the goals that none meets, and what comes closest."""
    outcome = state.outcome
    if outcome.best is not None:
        trial, measured = chosen(state, outcome.best)
        return (
            f"Trial {trial.number} ({_method(state, trial)}, {outcome.best.precision}) is the smallest "
            f"student that meets the goals: {measured.size_mb:.3g} MB, {measured.parameters:,} parameters, "
            f"{measured.retained:.1%} of the teacher's quality (at least {measured.retained_low:.1%})."
        )
    if outcome.closest is None:
        return "No trial has finished."
    trial, _ = chosen(state, outcome.closest)
    missed = ", ".join(
        f"{goal.goal} {goal.asked:g} (reached {goal.closest:.4g}{_UNITS.get(goal.goal, '')})"
        for goal in outcome.unmet
    )
    return (
        f"No student meets all goals. Trial {trial.number} ({_method(state, trial)}, "
        f"{outcome.closest.precision}) comes closest and misses {missed}. Relax that goal, "
        "or allow more trials."
    )


def chosen(state: SearchState, choice: Choice) -> tuple[Trial, Measurement]:
    """The trial and the file that a choice names."""
    trial = next(trial for trial in state.trials if trial.number == choice.trial)
    return trial, next(one for one in trial.measurements if one.precision == choice.precision)


def _method(state: SearchState, trial: Trial) -> str:
    return state.candidates[trial.candidate].method.name
