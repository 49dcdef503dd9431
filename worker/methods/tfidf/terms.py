"""The terms of texts: their word pieces, and the pairs of neighbours among them.

Shapes: R rows, N terms.
"""

import numpy as np
from scipy import sparse

from worker.contracts import FloatArray, IntArray, TokenizedSplit
from worker.networks.tfidf import pair_terms


def counted_terms(split: TokenizedSplit, vocabulary: int) -> tuple[IntArray, sparse.csr_matrix]:
    """Every term of a split, ascending, and how often each row has it, (R, N)."""
    ids = split.ids.astype(np.int64)
    rows = np.repeat(np.arange(len(split)), split.lengths)
    pairs = pair_terms(ids[:-1], ids[1:], vocabulary)
    within = rows[:-1] == rows[1:]
    terms, places = np.unique(np.concatenate([ids, pairs[within]]), return_inverse=True)
    entries = (np.ones(len(places), np.float32), (np.concatenate([rows, rows[:-1][within]]), places))
    return terms, sparse.coo_matrix(entries, shape=(len(split), len(terms))).tocsr()


def frequent_terms(counts: sparse.csr_matrix, most: int) -> IntArray:
    """The places, ascending, of those that most rows have; none that all rows have, which tells nothing."""
    rows_with = counts.getnnz(axis=0)
    telling = np.flatnonzero(rows_with < counts.shape[0])
    order = np.argsort(-rows_with[telling], kind="stable")
    places: IntArray = np.sort(telling[order[:most]])
    return places


def inverse_frequencies(counts: sparse.csr_matrix) -> FloatArray:
    """(N,), as scikit-learn has them: as if one more row had every term."""
    rows_with = counts.getnnz(axis=0)
    frequencies: FloatArray = (np.log((1 + counts.shape[0]) / (1 + rows_with)) + 1).astype(np.float32)
    return frequencies
