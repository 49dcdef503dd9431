"""What a budget leaves over goes where it helps."""

import pytest

from app.domain.architectures import EncoderShape
from app.domain.documents import Target
from app.domain.planning import plan_student
from app.domain.planning.advice import total
from tests.domain.planning.teachers import CLASSES, MARIAN, MINILM, TRANSLATION, WORDS, able, method

SQUEEZING = method("weight_squeezing")
PLENTY = 1e6
"""Tokens of text."""
ALL_WORDS = MINILM.vocabulary


class TestFewerWords:
    def test_they_are_the_default_where_words_are_most_of_a_student(self):
        """More than twice as much computes, and the client hears how to have it otherwise."""
        target = Target(compression_ratio=4)
        plan = plan_student(MINILM, SQUEEZING, target, head=CLASSES, text_tokens=PLENTY)
        whole = plan_student(
            MINILM, SQUEEZING, target.model_copy(update={"vocabulary_size": ALL_WORDS}), head=CLASSES
        )
        assert 8000 <= plan.architecture.vocabulary < 9000
        assert plan.parameters.body > 2 * whole.parameters.body
        [note] = plan.advice
        assert (note.about, note.value) == ("vocabulary_size", None)
        assert f"reduced to the {plan.architecture.vocabulary:,} tokens" in note.message
        assert f"{whole.parameters.embeddings / whole.parameters.total:.0%} of the student" in note.message
        assert f"would allow {whole.shape} instead of {plan.shape}" in note.message
        assert "Set target.vocabulary_size to 30522 to keep all." in note.message

    def test_little_text_does_not_say_which_words_are_needed(self):
        plan = plan_student(MINILM, SQUEEZING, Target(compression_ratio=4), head=CLASSES, text_tokens=22_000)
        assert plan.architecture.vocabulary == ALL_WORDS
        assert "vocabulary_size" in {advice.about for advice in plan.advice}

    @pytest.mark.parametrize("words", [ALL_WORDS, 12_000])
    def test_a_client_s_own_number_is_kept(self, words):
        target = Target(compression_ratio=4, vocabulary_size=words)
        plan = plan_student(MINILM, SQUEEZING, target, head=CLASSES, text_tokens=PLENTY)
        assert plan.architecture.vocabulary == words

    def test_a_shape_and_a_bound_on_latency_know_all_words(self):
        shape = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
        targets = (Target(shape=shape), Target(max_latency_ms=5))
        for target in targets:
            plan = plan_student(
                MINILM, SQUEEZING, target, head=CLASSES, latency=lambda *_: 1.0, text_tokens=PLENTY
            )
            assert plan.architecture.vocabulary == ALL_WORDS
        assert plan_student(MINILM, SQUEEZING, targets[0], head=CLASSES).shape == shape

    @pytest.mark.parametrize(("teacher", "head"), [(MINILM, WORDS), (MARIAN, TRANSLATION)])
    def test_where_words_are_predicted_all_of_them_stay(self, teacher, head):
        plan = plan_student(
            teacher, method("distillation"), Target(compression_ratio=4), head=head, text_tokens=PLENTY
        )
        assert plan.architecture.vocabulary == teacher.vocabulary

    def test_what_a_teacher_s_whole_network_leaves_over_are_words(self):
        plan = plan_student(
            MINILM, SQUEEZING, Target(compression_ratio=1.5), head=CLASSES, text_tokens=PLENTY
        )
        assert plan.shape == MINILM.shape
        assert 8000 < plan.architecture.vocabulary < ALL_WORDS
        assert plan.budget.unused < 0.001


class TestFeedForward:
    @pytest.mark.parametrize("ratio", [2, 4, 8])
    def test_it_takes_what_is_left(self, ratio):
        target = Target(compression_ratio=ratio, vocabulary_size=ALL_WORDS)
        plan = plan_student(MINILM, SQUEEZING, target, head=CLASSES)
        shape, proportional = plan.shape, 4 * plan.shape.hidden
        assert proportional < shape.ffn <= 2 * proportional
        assert shape.ffn % 8 == 0
        if shape.ffn < 2 * proportional:
            wider = plan.architecture.at(shape.model_copy(update={"ffn": shape.ffn + 8}))
            assert total(wider, CLASSES) > plan.budget.parameters

    @pytest.mark.parametrize("name", able(CLASSES))
    def test_every_method_can_make_the_shape(self, name):
        """A client who names it gets the same student."""
        plan = plan_student(MINILM, method(name), Target(max_parameters=15_000_000), head=CLASSES)
        named = Target(shape=plan.shape, vocabulary_size=plan.architecture.vocabulary)
        assert plan_student(MINILM, method(name), named, head=CLASSES).architecture == plan.architecture

    @pytest.mark.parametrize("name", ["pea_kd", "low_rank"])
    def test_a_method_that_keeps_it_keeps_it(self, name):
        plan = plan_student(MINILM, method(name), Target(max_parameters=15_000_000), head=CLASSES)
        assert plan.shape.ffn == MINILM.shape.ffn
