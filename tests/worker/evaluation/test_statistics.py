import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from worker.evaluation.bootstrap import (
    RankCorrelation,
    interval,
    mean_of,
    micro_f1_of,
    paired_p_value,
    resampled,
    retained,
)
from worker.evaluation.calibration import reliability
from worker.evaluation.paired_tests import mcnemar


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def test_the_interval_of_an_accuracy_is_that_of_the_binomial_distribution(random):
    right = random.random(2_000) < 0.9
    found = interval(resampled({"accuracy": mean_of(right)})["accuracy"])
    exact = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="exact")
    assert found.low == pytest.approx(exact.low, abs=3e-3)
    assert found.high == pytest.approx(exact.high, abs=3e-3)


def test_the_interval_of_a_mean_is_that_of_scipy(random):
    values = random.exponential(size=500)
    found = interval(resampled({"mean": mean_of(values)})["mean"])
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2_000, method="percentile", vectorized=True, rng=random
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.02)


def test_each_resample_has_the_metric_of_its_rows(random):
    weights = random.multinomial(40, np.full(40, 1 / 40), size=6).astype(float)
    rows = [np.repeat(np.arange(40), counts.astype(int)) for counts in weights]
    one, other = random.integers(0, 6, 40).astype(float), random.normal(size=40)
    other[::3] = one[::3]
    assert RankCorrelation(one, other)(weights) == pytest.approx(
        [stats.spearmanr(one[drawn], other[drawn]).statistic for drawn in rows]
    )
    truth, passes = random.random((2, 40, 5)) < 0.4
    counted = micro_f1_of((truth & passes).sum(1), passes.sum(1), truth.sum(1))
    assert counted(weights) == pytest.approx(
        [sklearn.f1_score(truth[drawn], passes[drawn], average="micro") for drawn in rows]
    )
    hits, words = random.integers(0, 5, 40), random.integers(5, 9, 40)
    assert mean_of(hits, words)(weights) == pytest.approx(
        [hits[drawn].sum() / words[drawn].sum() for drawn in rows]
    )


def test_constant_numbers_and_nothing_found_score_0():
    weights = np.ones((2, 3))
    assert RankCorrelation([1, 1, 1], [1, 2, 3])(weights).tolist() == [0, 0]
    assert micro_f1_of([0, 0, 0], [0, 0, 0], [0, 0, 0])(weights).tolist() == [0, 0]


def test_models_are_resampled_together_and_alike_each_time(random):
    right = random.random(300) < 0.8
    metrics = {"one": mean_of(right), "same": mean_of(right), "none": mean_of(np.zeros(300))}
    drawn = resampled(metrics, resamples=50)
    assert (drawn["one"] == drawn["same"]).all()
    assert (drawn["one"] == resampled(metrics, resamples=50)["one"]).all()
    assert np.isnan(retained(drawn["one"], drawn["none"])).all()
    assert interval(retained(drawn["one"], drawn["none"])) is None
    assert interval(retained(drawn["same"], drawn["one"])).low == 1


def test_resamples_that_do_not_fit_into_memory_are_drawn_in_parts(random):
    right = random.random(100) < 0.5
    at_once = resampled({"accuracy": mean_of(right)}, resamples=64)["accuracy"]
    in_parts = resampled({"accuracy": mean_of(right)}, resamples=64, cells=700)["accuracy"]
    assert (in_parts == at_once).all()


def test_a_paired_test_tells_a_difference_from_chance(random):
    teacher = random.random(1_000) < 0.9
    worse = teacher & (random.random(1_000) < 0.95)
    as_good = random.permutation(teacher)
    drawn = resampled({"teacher": mean_of(teacher), "worse": mean_of(worse), "as_good": mean_of(as_good)})
    assert paired_p_value(drawn["worse"] - drawn["teacher"]) < 0.01
    assert paired_p_value(drawn["as_good"] - drawn["teacher"]) > 0.3
    assert paired_p_value(np.zeros(1_000)) == 1


@pytest.mark.parametrize(("student_only", "teacher_only"), [(3, 12), (7, 7), (0, 5), (0, 0), (40, 21)])
def test_mcnemar_is_the_exact_binomial_test(student_only, teacher_only):
    student = np.array([True] * student_only + [False] * teacher_only + [True, False] * 10)
    teacher = np.array([False] * student_only + [True] * teacher_only + [True, False] * 10)
    found = mcnemar(student, teacher)
    both = student_only + teacher_only
    exact = stats.binomtest(student_only, both).pvalue if both else 1
    assert (found.student_only, found.teacher_only) == (student_only, teacher_only)
    assert found.p_value == pytest.approx(exact)


def test_the_calibration_error_is_that_of_its_definition(random):
    probabilities = random.random(1_000)
    is_right = random.random(1_000) < probabilities**2
    found = reliability(probabilities, is_right, bins=10)
    expected = 0.0
    for edge in range(10):
        within = (probabilities > edge / 10) & (probabilities <= (edge + 1) / 10)
        expected += within.mean() * abs(probabilities[within].mean() - is_right[within].mean())
    assert found.expected_error == pytest.approx(expected)
    assert sum(part.rows for part in found.bins) == 1_000
    assert reliability(np.array([0.0, 1.0]), np.array([False, True])).expected_error == 0
