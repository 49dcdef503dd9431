"""The searches against slow ones that are easy to believe, on a network that is a table of all beginnings.

Its tokens: 0 ends, 1 is padding, the others are words.
"""

import itertools
from functools import partial

import numpy as np
import pytest

from app.engine.generation import FloatArray, SpecialTokens, beam_search, greedy_search
from app.engine.padding import IntArray

END, PAD, START, VOCABULARY = 0, 1, 99, 18
SPECIAL = SpecialTokens(start=START, end=END, pad=PAD)

Beginning = tuple[int, ...]


def logits_of(text: int, beginning: Beginning) -> FloatArray:
    """What the network says after a beginning: drawn once and for all, the end ever likelier."""
    generator = np.random.default_rng([text, *beginning])
    logits = generator.normal(scale=2, size=VOCABULARY).astype(np.float32)
    logits[END] += 0.7 * len(beginning) - 1
    logits[PAD] += 3  # would win, were it allowed
    return logits


def log_probabilities(text: int, beginning: Beginning) -> list[float]:
    logits = logits_of(text, beginning).astype(np.float64)
    out = logits - np.log(np.exp(logits).sum())
    out[PAD] = -np.inf
    return out.tolist()


class TableNetwork:
    """The step function, which notes how many rows each step has."""

    def __init__(self, *, first: int = 0) -> None:
        self.first = first
        self.rows: list[tuple[int, Beginning]] = []
        self.steps: list[int] = []

    def __call__(self, tokens: IntArray, parents: IntArray) -> FloatArray:
        if not self.steps:
            assert set(tokens.tolist()) == {START}
            self.rows = [(self.first + text, ()) for text in parents.tolist()]
        else:
            pairs = zip(parents.tolist(), tokens.tolist(), strict=True)
            self.rows = [(self.rows[parent][0], (*self.rows[parent][1], token)) for parent, token in pairs]
        self.steps.append(len(self.rows))
        return np.stack([logits_of(*row) for row in self.rows])


def always(_text: int) -> bool:
    return True


def search(
    network: TableNetwork, limits: list[int], *, beams: int = 1, penalty: float = 1.0
) -> list[list[int]]:
    if beams == 1:
        return greedy_search(network, limits, SPECIAL, is_wanted=always)
    return beam_search(network, limits, SPECIAL, beams=beams, length_penalty=penalty, is_wanted=always)


def slow_greedy(text: int, limit: int) -> list[int]:
    written: list[int] = []
    while len(written) < limit:
        token = int(np.argmax(log_probabilities(text, tuple(written))))
        if token == END:
            break
        written.append(token)
    return written


def slow_beams(text: int, limit: int, *, beams: int, penalty: float) -> list[int]:
    """One text, lists of (score, beginning), no arrays."""
    running: list[tuple[float, Beginning]] = [(0.0, ())]
    finished: list[tuple[float, Beginning]] = []
    for length in range(1, limit + 1):
        longer = sorted(
            (
                (score + step, (*beginning, token))
                for score, beginning in running
                for token, step in enumerate(log_probabilities(text, beginning))
            ),
            reverse=True,
        )[: 2 * beams]
        is_over = {beginning: beginning[-1] == END or length == limit for _, beginning in longer}
        finished += [(score / length**penalty, b) for score, b in longer[:beams] if is_over[b]]
        finished = sorted(finished, reverse=True)[:beams]
        running = [(score, b) for score, b in longer if not is_over[b]][:beams]
        if not running or (len(finished) == beams and running[0][0] / length**penalty <= finished[-1][0]):
            break
    return [token for token in finished[0][1] if token != END]


TEXTS = 12
LIMITS = [1, 2, 3, 5, 8, 12] * 2


class TestGreedy:
    def test_equals_one_text_at_a_time(self) -> None:
        network = TableNetwork()
        written = search(network, LIMITS)
        assert written == [slow_greedy(text, limit) for text, limit in enumerate(LIMITS)]
        assert len({tuple(text) for text in written}) > TEXTS // 2
        assert any(len(text) < limit for text, limit in zip(written, LIMITS, strict=True))
        assert any(len(text) == limit for text, limit in zip(written, LIMITS, strict=True))

    def test_finished_texts_leave(self) -> None:
        network = TableNetwork()
        written = search(network, LIMITS)
        lasts = [min(len(text) + 1, limit) for text, limit in zip(written, LIMITS, strict=True)]
        assert network.steps == [sum(last > step for last in lasts) for step in range(max(lasts))]


class TestBeams:
    @pytest.mark.parametrize("beams", [2, 3, 4, 8])
    @pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
    def test_equal_one_text_at_a_time(self, beams: int, penalty: float) -> None:
        written = search(TableNetwork(), LIMITS, beams=beams, penalty=penalty)
        expected = [
            slow_beams(text, limit, beams=beams, penalty=penalty) for text, limit in enumerate(LIMITS)
        ]
        assert written == expected

    def test_find_likelier_texts_than_greedy(self) -> None:
        limits = [8] * 30

        def score(text: int, written: list[int]) -> float:
            ended = [*written, END][: limits[text]]
            return sum(
                log_probabilities(text, tuple(ended[:place]))[token] for place, token in enumerate(ended)
            )

        greedy, beams = search(TableNetwork(), limits), search(TableNetwork(), limits, beams=8, penalty=0)
        gains = [score(text, beams[text]) - score(text, greedy[text]) for text in range(30)]
        assert sum(gain > 1e-6 for gain in gains) > 5
        assert np.mean(gains) > 0.1

    def test_done_texts_leave(self) -> None:
        together = TableNetwork()
        search(together, LIMITS, beams=3)
        alone = [TableNetwork(first=text) for text in range(TEXTS)]
        for network, limit in zip(alone, LIMITS, strict=True):
            search(network, [limit], beams=3)
        steps = itertools.zip_longest(*(network.steps for network in alone), fillvalue=0)
        assert together.steps == [sum(rows) for rows in steps]
        assert len({len(network.steps) for network in alone}) > 3


@pytest.mark.parametrize("beams", [1, 4])
def test_texts_that_nobody_waits_for_leave(beams: int) -> None:
    slow = slow_greedy if beams == 1 else partial(slow_beams, beams=beams, penalty=1)
    expected = [slow(text, 12) for text in range(TEXTS)]
    gone = max(range(TEXTS), key=lambda text: len(expected[text]))
    network = TableNetwork()
    asked: list[int] = []

    def is_wanted(text: int) -> bool:
        asked.append(text)
        return text != gone or len(network.steps) < 2

    search = greedy_search if beams == 1 else partial(beam_search, beams=beams, length_penalty=1)
    written = search(network, [12] * TEXTS, SPECIAL, is_wanted=is_wanted)
    assert asked.count(gone) == 2
    assert len(written[gone]) < len(expected[gone])
    del written[gone], expected[gone]
    assert written == expected


def test_logits_are_not_asked_for_beyond_the_limit() -> None:
    network = TableNetwork()
    assert [len(text) for text in search(network, [1, 1], beams=4)] == [1, 1]
    assert network.steps == [2]
