"""Answers to questions: windows and their labels, losses, and metrics beside a second implementation."""

import random
import re
import string
from itertools import pairwise

import numpy as np
import pytest
import torch

from app.engine.answer_spans import AskedWindow, best_places, no_answer_score, rank_answers, whole_words
from app.engine.question_windows import WindowTokenizer
from app.engine.tokenizing import Question
from tests.tiny import tiny_questions, tiny_tokenizer
from tests.worker.compression import tokenized_questions
from worker.data.batches import collate, concatenate, subset
from worker.tasks import IMPLEMENTATIONS
from worker.tasks.answer_metrics import exact_match, normalised, word_f1
from worker.tasks.question_answering import soft_span_loss, span_loss
from worker.training.micro_batches import with_shares

TASK = IMPLEMENTATIONS["question_answering"]
CPU = torch.device("cpu")
LONG = " ".join(["the film was wonderful and the story of the actor moving"] * 8)


def asked(context: str, answer: str, *, at: int = 0) -> dict[str, object]:
    start = [match.start() for match in re.finditer(re.escape(answer), context)][at]
    return {
        "question": "the one",
        "context": context,
        "answers": {"text": [answer], "answer_start": [start]},
    }


class TestWindows:
    def test_cover_the_context_and_share_a_quarter(self):
        [windows] = WindowTokenizer(tiny_tokenizer(), max_length=24).windows([Question("the one", LONG)])
        assert len(windows) > 3
        assert all(len(window) <= 24 for window in windows)
        spans = [window.spans[1:] for window in windows]
        assert spans[0][0][0] == 0
        assert spans[-1][-1][1] == len(LONG)
        for one, other in pairwise(spans):
            assert len(set(one) & set(other)) == 6
        for window in windows:
            assert window.places[0] == 0
            ids = [window.tokens.ids[place] for place in window.places[1:]]
            words = [LONG[start:end] for start, end in window.spans[1:]]
            assert ids == [tiny_tokenizer().token_to_id(word) for word in words]

    def test_questions_are_cut_so_that_contexts_have_room(self):
        windower = WindowTokenizer(tiny_tokenizer(), max_length=24)
        [[window, *_]] = windower.windows([Question("the one " * 50, LONG)])
        assert window.places[1] == 1 + 6 + 1

    def test_a_short_context_is_one_window(self):
        [[window]] = WindowTokenizer(tiny_tokenizer(), max_length=24).windows(
            [Question("the one", "A film.")]
        )
        assert window.spans == [(0, 0), (0, 1), (2, 6), (6, 7)]

    def test_labels_are_where_the_answer_is_in_whole(self):
        split = tokenized_questions([asked(LONG, "the story of", at=3)], max_length=24)
        assert split.labels is not None
        assert split.questions is not None
        found = 0
        for begin, end in pairwise(split.position_offsets.tolist()):
            starts, ends = split.labels[begin:end].T
            assert starts.sum() == ends.sum() == 1
            first, last = int(starts.argmax()), int(ends.argmax())
            spans = split.questions.spans[begin:end]
            if first:
                found += 1
                assert LONG[spans[first][0] : spans[last][1]] == "the story of"
            else:
                assert last == 0
        assert 1 <= found <= 2

    def test_rows_know_their_question_in_every_subset(self):
        rows = tiny_questions(12)
        split = tokenized_questions(rows, max_length=12)
        some = subset(split, np.array([5, 0, 7]))
        assert some.questions is not None
        assert split.questions is not None
        assert some.questions.rows.tolist() == split.questions.rows[[5, 0, 7]].tolist()
        assert len(some.questions.spans) == some.position_offsets[-1]
        begin = split.position_offsets[5]
        assert (some.questions.spans[:3] == split.questions.spans[begin : begin + 3]).all()


class TestLosses:
    ROWS = torch.tensor([0, 0, 0, 1, 1])
    LABELS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [0, 0]], dtype=torch.float32)

    def logits(self, seed: int) -> torch.Tensor:
        return torch.randn(5, 2, generator=torch.Generator().manual_seed(seed), requires_grad=seed == 0)

    def test_of_labels_is_the_written_out_mean(self):
        logits = self.logits(0)
        log_scores = torch.cat([logits[:3].log_softmax(0), logits[3:].log_softmax(0)])
        expected = -(log_scores[1, 0] + log_scores[2, 1] + log_scores[3, 0] + log_scores[3, 1]) / 4
        assert torch.allclose(span_loss(0.0)(logits, self.LABELS, self.ROWS), expected)
        smoothed = span_loss(0.1)(logits, self.LABELS, self.ROWS)
        uniform = -(log_scores[:3].mean(0).sum() + log_scores[3:].mean(0).sum()) / 4
        assert torch.allclose(smoothed, 0.9 * expected + 0.1 * uniform)

    def test_rows_without_an_answer_do_not_count(self):
        logits, labels = self.logits(0), self.LABELS.clone()
        labels[3:] = torch.nan
        alone = span_loss(0.1)(logits[:3], self.LABELS[:3], self.ROWS[:3])
        assert torch.allclose(span_loss(0.1)(logits, labels, self.ROWS), alone)
        nothing = span_loss(0.1)(logits, torch.full_like(labels, torch.nan), self.ROWS)
        nothing.backward()
        assert nothing == 0
        assert logits.grad is not None
        assert logits.grad.isfinite().all()

    @pytest.mark.parametrize("t", [1.0, 3.0])
    def test_of_a_teacher_is_the_written_out_divergence(self, t):
        ours, theirs = self.logits(1), self.logits(2)
        expected = torch.zeros(())
        for rows in (slice(0, 3), slice(3, 5)):
            p, q = (theirs[rows] / t).softmax(0), (ours[rows] / t).softmax(0)
            expected += (p * (p / q).log()).sum()
        assert torch.allclose(soft_span_loss(ours, theirs, t, self.ROWS), t**2 * expected / 4)
        assert float(soft_span_loss(ours, ours, t, self.ROWS)) == pytest.approx(0, abs=1e-6)

    def test_small_batches_add_up(self):
        """Parts of a step weigh as many rows as they have, however long these are."""
        split = tokenized_questions(tiny_questions(10), max_length=12)
        logits = torch.randn(int(split.position_offsets[-1]), 2, generator=torch.Generator().manual_seed(3))
        rows = np.array_split(np.arange(len(split)), 3)
        batches = [collate(split, part, pad_id=0, device=CPU) for part in rows]
        whole = collate(split, np.arange(len(split)), pad_id=0, device=CPU)
        expected = span_loss(0.0)(logits, whole.labels, whole.position_rows)
        parts = torch.zeros(())
        for batch, share in with_shares(batches):
            own = np.concatenate([np.arange(*split.position_offsets[row : row + 2]) for row in batch.rows])
            loss = span_loss(0.0)(logits[own], batch.labels, batch.position_rows)
            parts += share * batch.label_weight * loss
        assert torch.allclose(parts, expected)

    def test_unlabelled_rows_are_learnt_with_others(self):
        one = tokenized_questions(tiny_questions(4))
        other = tokenized_questions(
            [{name: row[name] for name in ("question", "context")} for row in tiny_questions(3, seed=1)]
        )
        both = concatenate(one, other)
        assert both.labels is not None
        assert np.isfinite(both.labels).all(axis=1).sum() == one.position_offsets[-1]


def naive_f1(answer: str, right: list[str]) -> float:
    """SQuAD's evaluate-v2.0.py, as it is written there."""

    def tokens(text: str) -> list[str]:
        text = "".join(character for character in text.lower() if character not in set(string.punctuation))
        return " ".join(re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text).split()).split()

    def one(gold: list[str], predicted: list[str]) -> float:
        common = 0
        left = list(gold)
        for token in predicted:
            if token in left:
                left.remove(token)
                common += 1
        if len(gold) == 0 or len(predicted) == 0:
            return int(gold == predicted)
        if common == 0:
            return 0
        precision, recall = common / len(predicted), common / len(gold)
        return 2 * precision * recall / (precision + recall)

    return max(one(tokens(gold), tokens(answer)) for gold in right or [""])


def test_metrics_are_those_of_squad_s_script():
    draw = random.Random(0)
    words = ["The", "a", "theatre", "U.S.", "cat", "cat,", "-", "An", "dog's", "ÉTÉ", "42"]
    for _ in range(300):
        answer, *right = (" ".join(draw.choices(words, k=draw.randrange(5))) for _ in range(3))
        given = right[: draw.randrange(3)]
        assert word_f1(answer, given) == pytest.approx(naive_f1(answer, given))
        assert (exact_match(answer, given) == 1) == (normalised(answer) in map(normalised, given or [""]))


class TestAnswers:
    CONTEXT = "Ada lives in Oslo-West, Norway."
    SPANS = ((0, 0), (0, 3), (4, 9), (10, 12), (13, 15), (15, 17), (17, 18), (18, 22), (22, 23), (24, 30))

    def window(self, **scores: tuple[int, float]) -> AskedWindow:
        logits = np.zeros((len(self.SPANS), 2), np.float32)
        for what, (place, score) in scores.items():
            logits[place, {"start": 0, "end": 1}[what]] = score
        return AskedWindow(self.SPANS, logits)

    def naive(self, window: AskedWindow, most: int, *, may_have_none: bool) -> tuple[int, int, float]:
        logits = window.logits[0 if may_have_none else 1 :]
        starts, ends = (torch.from_numpy(column).log_softmax(0) for column in logits.T.copy())
        skipped = 1 if may_have_none else 0
        pairs = [
            (float(starts[i] + ends[j]), i, j)
            for i in range(skipped, len(logits))
            for j in range(i, min(i + most, len(logits)))
        ]
        score, first, last = max(pairs)
        return first + 1 - skipped, last + 1 - skipped, score

    @pytest.mark.parametrize("may_have_none", [False, True])
    @pytest.mark.parametrize("most", [1, 3, 30])
    def test_are_the_best_of_all_stretches(self, most, may_have_none):
        generator = np.random.default_rng(7)
        for _ in range(20):
            window = AskedWindow(self.SPANS, generator.normal(size=(len(self.SPANS), 2)).astype(np.float32))
            first, last, score = self.naive(window, most, may_have_none=may_have_none)
            threshold = np.inf if may_have_none else None
            [best] = rank_answers([window], self.CONTEXT, most_tokens=most, threshold=threshold)
            expected = whole_words(self.CONTEXT, self.SPANS[first][0], self.SPANS[last][1])
            assert (best.start, best.end) == expected
            assert best.log_score == pytest.approx(score, abs=1e-5)

    def test_are_whole_words(self):
        [best] = rank_answers([self.window(start=(5, 9), end=(5, 9))], self.CONTEXT)
        assert self.CONTEXT[best.start : best.end] == "Oslo"
        assert whole_words("東京タワーです", 0, 2) == (0, 2)
        assert whole_words(" in  Rome ", 3, 10) == (5, 9)
        assert whole_words("   ", 0, 3) == (3, 3)

    def test_may_be_none_from_a_threshold_on(self):
        window = self.window(start=(0, 2), end=(0, 2))
        odds = no_answer_score([window]) - rank_answers([window], self.CONTEXT)[0].log_score
        for threshold, expected in ((odds - 10, ""), (odds + 10, None)):
            best, other = rank_answers([window], self.CONTEXT, count=2, threshold=threshold)
            assert (self.CONTEXT[best.start : best.end] == "") == (expected == "")
            assert best.end or other.end

    def test_of_several_windows(self):
        """The context has no answer only where none of the windows has one."""
        without, other = self.window(start=(0, 9), end=(0, 9)), self.window(start=(9, 9), end=(9, 9))
        best, *_ = rank_answers([without, other], self.CONTEXT, threshold=0.0)
        assert self.CONTEXT[best.start : best.end] == "Norway"
        assert rank_answers([without], self.CONTEXT, threshold=0.0)[0].end == 0
        assert best_places(without.logits) == (0, 0)
        assert best_places(other.logits) == (9, 9)

    def test_several_are_ranked_without_repeats(self):
        window = self.window(start=(4, 5), end=(5, 5))
        answers = rank_answers([window, window], self.CONTEXT, count=5)
        assert len({(answer.start, answer.end) for answer in answers}) == 5
        scores = [answer.log_score for answer in answers]
        assert scores == sorted(scores, reverse=True)


def test_the_threshold_is_the_best_on_dev():
    split = tokenized_questions(tiny_questions(40), max_length=12)
    logits = np.random.default_rng(1).normal(size=(split.position_offsets[-1], 2)).astype(np.float32)
    assert TASK.thresholds is not None
    assert TASK.metrics is not None
    [chosen] = TASK.thresholds(split, logits)
    reached = TASK.metrics(split, logits, [], [chosen])["f1"]
    others = [TASK.metrics(split, logits, [], [float(t)])["f1"] for t in np.linspace(-9, 9, 60)]
    assert reached == pytest.approx(max(others))
    assert reached >= TASK.baseline(split) == 0.25


def test_answerable_questions_are_measured_without_the_others():
    """And answered, whatever the threshold."""
    split = tokenized_questions(tiny_questions(40))
    logits = np.zeros((split.position_offsets[-1], 2), np.float32)
    assert split.labels is not None
    right = logits + 20 * split.labels
    assert TASK.metrics is not None
    never = TASK.metrics(split, right, [], [-100.0])
    assert (never["f1"], never["exact_match"], never["answerable_f1"]) == (0.25, 0.25, 1.0)
    assert set(TASK.metrics(split, right, [], [0.0]).values()) == {1.0}


def test_there_is_none_where_every_context_has_an_answer():
    split = tokenized_questions([row for row in tiny_questions(8) if row["answers"]["text"]])
    logits = np.zeros((split.position_offsets[-1], 2), np.float32)
    assert TASK.thresholds is not None
    assert TASK.thresholds(split, logits) == ()
    assert TASK.baseline(split) == 0


def test_agreement_is_the_overlap_of_answers():
    reference = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [0, 0]], np.float32)
    counts = np.array([3, 2])
    assert TASK.agreement(reference, reference, (), counts) == 1
    exported = reference.copy()
    exported[:3] = [[0, 0], [9, 9], [0, 0]]  # one of two tokens; the second row still has none
    assert TASK.agreement(reference, exported, (), counts) == pytest.approx((2 / 3 + 1) / 2)
