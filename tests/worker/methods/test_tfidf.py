"""TF-IDF against scikit-learn's own, of terms that are pieces of a tokenizer."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from app.domain.errors import JobCancelled
from app.domain.methods import TfidfSpec
from tests.worker.compression import make_teacher
from tests.worker.methods.test_contract import compress, context_of, run
from worker.evaluation.evaluate import predict_logits
from worker.methods.tfidf import METHOD
from worker.methods.tfidf.regression import fit
from worker.methods.tfidf.terms import counted_terms, frequent_terms, inverse_frequencies
from worker.networks.tfidf import NO_TERM

CPU = torch.device("cpu")


def as_words(split):
    return [" ".join(map(str, row)) for row in np.split(split.ids, split.offsets[1:-1])]


@pytest.fixture(scope="module")
def theirs(data):
    """Pieces and pairs, without those that all rows have."""
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", max_df=1 - 1 / len(data.train))
    features = vectors.fit_transform(as_words(data.train))
    return vectors, LogisticRegression(max_iter=1000).fit(features, data.train.labels)


def test_probabilities_are_those_of_scikit_learn(data, theirs, tmp_path):
    vectors, regression = theirs
    context = context_of("tfidf", tmp_path)
    shape = context.architecture.shape.model_copy(update={"terms": 5_000})
    context.architecture = context.architecture.at(shape)
    spec = TfidfSpec(name="tfidf", inverse_regularisation=1)
    student = METHOD.compress(make_teacher(), data, spec, context)
    assert student.metrics["terms"] == len(vectors.vocabulary_)
    assert (student.network.terms[len(vectors.vocabulary_) :] == NO_TERM).all()
    logits = predict_logits(student.network, data.dev, pad_id=0, device=CPU)
    expected = regression.predict_proba(vectors.transform(as_words(data.dev)))
    assert np.abs(torch.from_numpy(logits).softmax(1).numpy() - expected).max() < 1e-5


def test_the_most_frequent_terms_are_kept(data):
    terms, counts = counted_terms(data.train, 100)
    rows_with = (counts > 0).sum(axis=0).A1
    kept = frequent_terms(counts, 10)
    assert (np.diff(terms[kept]) > 0).all()
    assert (rows_with[kept] < len(data.train)).all()
    left = np.setdiff1d(np.flatnonzero(rows_with < len(data.train)), kept)
    assert rows_with[kept].min() >= rows_with[left].max()
    assert inverse_frequencies(counts).shape == terms.shape


def test_labels_that_do_not_occur_are_not_answered(data):
    _, counts = counted_terms(data.train, 100)
    labels = data.train.labels
    for given, outputs in [(labels * 2, 3), (np.zeros_like(labels), 2), (labels + labels[::-1], 4)]:
        weights, biases = fit(counts, given, outputs=outputs, inverse_regularisation=1.0)
        assert weights.shape == (outputs, counts.shape[1])
        answers = set((counts @ weights.T + biases).argmax(1).tolist())
        assert answers <= set(given.tolist())


def test_a_label_that_all_or_none_have(data):
    labels = np.stack([np.ones(len(data.train)), np.zeros(len(data.train))], axis=1).astype(np.float32)
    _, counts = counted_terms(data.train, 100)
    weights, biases = fit(counts, labels, outputs=2, inverse_regularisation=1.0)
    assert (weights == 0).all()
    assert biases[0] > 5 > -5 > biases[1]


def test_stops_when_cancelled_and_is_the_same_whatever_the_seed(data, tmp_path):
    with pytest.raises(JobCancelled):
        compress("tfidf", tmp_path, data, cancel_at=0)
    one, other = (
        run("tfidf", make_teacher(), data, context_of("tfidf", tmp_path, seed=seed)) for seed in (1, 2)
    )
    assert torch.equal(one.network.classifier.weight, other.network.classifier.weight)
