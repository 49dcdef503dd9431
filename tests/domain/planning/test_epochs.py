import pytest
from pydantic import ValidationError

from app.domain.documents import TrainingSpec
from app.domain.planning import most_steps, step_count, with_epochs


def chosen(*, rows: int, labels: int = 2, **given: float) -> tuple[float | None, float | None]:
    training = with_epochs(TrainingSpec(**given), rows=rows, labels=labels)
    return training.epochs, training.max_epochs


@pytest.mark.parametrize(
    ("rows", "labels", "epochs"),
    [(67_000, 2, 3), (6_000, 77, 7), (6_000, 2, 4), (500, 2, 20), (3, 2, 20), (10**7, 500, 3)],
)
def test_few_rows_and_many_labels_take_more(rows, labels, epochs):
    assert chosen(rows=rows, labels=labels) == (epochs, 2 * epochs)


def test_what_the_client_says_holds():
    assert chosen(rows=500, epochs=1.5) == (1.5, 1.5)
    assert chosen(rows=500, epochs=2, max_epochs=6) == (2, 6)
    assert chosen(rows=500, max_epochs=5) == (5, 5)


def test_a_bound_below_the_epochs_is_refused():
    with pytest.raises(ValidationError, match="at least epochs, 4"):
        TrainingSpec(epochs=4, max_epochs=3)


def test_steps_within_the_bound():
    training = TrainingSpec(epochs=2, max_epochs=3, batch_size=10)
    assert (step_count(rows=100, training=training), most_steps(rows=100, training=training)) == (20, 30)
