"""From a target to a student: held against a search that tries every shape."""

from itertools import product

import pytest

from app.domain.architectures import Architecture, BiLstmShape, EncoderDecoderShape, EncoderShape
from app.domain.documents import Target
from app.domain.errors import InvalidRequest
from app.domain.planning import plan_student
from app.domain.planning.advice import total
from app.domain.planning.search_space import family
from app.domain.tasks import Head
from tests.domain.planning.teachers import (
    CLASSES,
    MARIAN,
    MINILM,
    TAGS,
    TRANSLATION,
    WORDS,
    able,
    method,
)

WHOLE = MINILM.count(head=CLASSES).total
SQUEEZING = method("weight_squeezing")
COPY = method("weight_copy")
INHERITED = method("weight_inherited")


def every_shape() -> list[EncoderShape]:
    return [
        EncoderShape(layers=layers, hidden=32 * heads, heads=heads, ffn=128 * heads)
        for heads, layers in product(range(1, 13), range(1, 7))
        if (heads, layers) != (12, 6)
    ]


class TestBudget:
    @pytest.mark.parametrize("ratio", [1.05, 1.5, 2, 4, 8, 12])
    def test_the_largest_encoder_that_fits(self, ratio):
        """Of those in the teacher's proportions; what is left over widens the feed-forward."""
        target = Target(compression_ratio=ratio, vocabulary_size=MINILM.vocabulary)
        plan = plan_student(MINILM, SQUEEZING, target, head=CLASSES)
        counts = [MINILM.at(shape).count(head=CLASSES) for shape in every_shape()]
        best = max(count.encoder for count in counts if count.total <= WHOLE / ratio)
        proportional = plan.shape.model_copy(update={"ffn": 4 * plan.shape.hidden})
        assert MINILM.at(proportional).count(head=CLASSES).encoder == best <= plan.parameters.encoder
        assert plan.compression_ratio >= ratio
        assert plan.size_mb["fp32"] == pytest.approx(plan.parameters.total * 4 / 1e6)

    @pytest.mark.parametrize(
        ("name", "head"),
        [(name, head) for head in (CLASSES, TAGS, WORDS, TRANSLATION) for name in able(head)],
        ids=lambda value: value if isinstance(value, str) else value.task,
    )
    @pytest.mark.parametrize("words", [None, 2000])
    def test_it_fits_and_no_larger_one_does(self, name, head, words):
        """Of every method, on every kind of network: anything that computes more is over the budget."""
        teacher: Architecture = MARIAN if head is TRANSLATION else MINILM
        whole, spec = total(teacher, head), method(name)
        words = words or teacher.vocabulary
        trimmed = teacher.model_copy(update={"vocabulary": words})
        students = list(family(trimmed, spec, embedding=None))
        smallest = min(total(student, head) for student in students)
        for part in (0, 0.1, 0.3, 0.6, 0.9):
            budget = int(smallest + part * (whole - 1 - smallest))
            plan = plan_student(
                teacher, spec, Target(max_parameters=budget, vocabulary_size=words), head=head
            )
            assert plan.parameters.total == total(plan.architecture, head) <= budget
            assert plan.architecture.vocabulary == trimmed.vocabulary
            larger = [student for student in students if student.count(head=head).body > plan.parameters.body]
            assert all(total(student, head) > budget for student in larger)

    def test_the_three_budgets_mean_the_same(self):
        plans = [
            plan_student(MINILM, SQUEEZING, target, head=CLASSES)
            for target in (
                Target(max_parameters=3_000_000),
                Target(max_size_mb=12),
                Target(compression_ratio=WHOLE / 3_000_000),
            )
        ]
        assert plans[0] == plans[1] == plans[2]

    def test_the_shares_of_the_budget(self):
        plan = plan_student(MINILM, SQUEEZING, Target(max_parameters=3_000_000), head=CLASSES)
        budget = plan.budget
        assert budget.parameters == 3_000_000
        assert budget.embeddings * 3_000_000 == pytest.approx(plan.parameters.embeddings)
        shares = (budget.embeddings, budget.encoder, budget.decoder, budget.head, budget.unused)
        assert sum(shares) == pytest.approx(1)
        assert min(shares) >= 0

    def test_a_decoder_has_a_share(self):
        plan = plan_student(MARIAN, SQUEEZING, Target(compression_ratio=2), head=TRANSLATION)
        assert plan.budget.decoder * plan.budget.parameters == pytest.approx(plan.parameters.decoder)
        assert plan.parameters.decoder > 0

    def test_too_small_names_the_smallest(self):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(MINILM, SQUEEZING, Target(max_parameters=900_000), head=CLASSES)
        smallest = min(MINILM.at(shape).count(head=CLASSES).total for shape in every_shape())
        assert caught.value.code == "target_too_small"
        assert caught.value.details["smallest_parameters"] == smallest
        target = Target(max_parameters=smallest, vocabulary_size=MINILM.vocabulary)
        assert plan_student(MINILM, SQUEEZING, target, head=CLASSES).parameters.total == smallest

    def test_too_small_says_what_fewer_words_would_do(self):
        with pytest.raises(
            InvalidRequest, match=r"target\.vocabulary_size 8,000 it would have ([\d,]+)"
        ) as caught:
            plan_student(MINILM, SQUEEZING, Target(max_parameters=900_000), head=CLASSES)
        said = int(caught.value.message.rsplit(" ", 1)[1].strip(".").replace(",", ""))
        plan = plan_student(
            MINILM, SQUEEZING, Target(max_parameters=said, vocabulary_size=8000), head=CLASSES
        )
        assert plan.parameters.total == said

    @pytest.mark.parametrize("target", [Target(max_parameters=WHOLE), Target(max_size_mb=1000)])
    def test_no_smaller_than_the_teacher(self, target):
        with pytest.raises(InvalidRequest, match="not smaller"):
            plan_student(MINILM, SQUEEZING, target, head=CLASSES)

    def test_a_teacher_with_no_smaller_student(self):
        teacher = MINILM.at(EncoderShape(layers=1, hidden=384, heads=12, ffn=1536))
        with pytest.raises(InvalidRequest) as caught:
            plan_student(teacher, method("pea_kd"), Target(compression_ratio=2), head=CLASSES)
        assert caught.value.code == "no_smaller_student"

    @pytest.mark.parametrize(("heads", "code"), [(2, "target_too_small"), (1, "no_smaller_student")])
    def test_of_few_heads_none_can_go(self, heads, code):
        teacher = MINILM.at(EncoderShape(layers=2, hidden=128, heads=heads, ffn=512))
        with pytest.raises(InvalidRequest, match="strategy dim") as caught:
            plan_student(teacher, INHERITED, Target(compression_ratio=4), head=CLASSES)
        assert caught.value.code == code
        narrow = method("weight_inherited", strategy="dim")
        assert plan_student(teacher, narrow, Target(compression_ratio=4), head=CLASSES).shape.heads == heads


class TestFamilies:
    """What each method leaves as it is in the teacher."""

    def shapes(self, name: str, teacher: Architecture = MINILM, **knobs: object) -> list:
        return [student.shape for student in family(teacher, method(name, **knobs), embedding=None)]

    def test_wid_narrows_each_head(self):
        shapes = self.shapes("weight_inherited", strategy="dim")
        assert {(s.layers, s.heads) for s in shapes} == {(6, 12)}
        assert {s.head_dim for s in shapes} == set(range(1, 33))

    def test_wid_drops_heads(self):
        shapes = self.shapes("weight_inherited")
        assert {(s.layers, s.head_dim) for s in shapes} == {(6, 32)}
        assert {s.heads for s in shapes} == set(range(1, 13))

    def test_weight_distillation_groups_layers(self):
        assert {s.layers for s in self.shapes("weight_distillation")} == {1, 2, 3, 6}

    def test_weight_distillation_keeps_a_translator_s_encoder(self):
        shapes = self.shapes("weight_distillation", MARIAN)
        kept = [s for s in shapes if s.encoder == MARIAN.shape.encoder]
        assert {s.decoder_layers for s in kept} == {1, 2, 3, 6}
        assert {s.decoder.hidden for s in kept} == set(range(64, 513, 64))
        narrow = [s for s in shapes if s not in kept]
        assert {(s.encoder_layers, s.decoder_layers) for s in narrow} == {(6, 1)}
        assert [s.hidden for s in narrow] == [s.decoder.hidden for s in narrow] == list(range(64, 512, 64))

    @pytest.mark.parametrize(("ratio", "hidden"), [(1.4, 512), (3, 320)])
    def test_a_translator_s_encoder_is_narrowed_where_the_target_asks_for_it(self, ratio, hidden):
        target = Target(compression_ratio=ratio)
        plan = plan_student(MARIAN, method("weight_distillation"), target, head=TRANSLATION)
        assert (plan.shape.hidden, plan.shape.encoder_layers) == (hidden, 6)

    def test_others_vary_encoder_and_decoder(self):
        shapes = self.shapes("distillation", MARIAN)
        assert len(shapes) == 8 * 6 * 6
        assert all(s.shares_embeddings for s in shapes)

    def test_a_narrow_decoder_stays_narrow(self):
        shape = EncoderDecoderShape(
            encoder_layers=2,
            decoder_layers=1,
            hidden=512,
            heads=8,
            ffn=2048,
            decoder_hidden=256,
            decoder_ffn=1024,
        )
        shapes = self.shapes("distillation", MARIAN.at(shape))
        assert shape in shapes
        assert {(s.hidden / s.decoder.hidden, s.ffn / s.decoder.ffn) for s in shapes} == {(2, 2)}

    def test_pea_kd_keeps_the_width_and_shares_layers(self):
        students = list(family(MINILM, method("pea_kd"), embedding=None))
        assert [s.shape.layers for s in students] == [1, 2, 3, 4, 5, 6]
        assert {s.shape.hidden for s in students} == {384}
        assert [len(s.schedule) for s in students] == [2, 4, 6, 8, 10, 12]

    def test_low_rank_keeps_all_but_the_rank(self):
        shapes = self.shapes("low_rank")
        assert {s.model_copy(update={"rank": None}) for s in shapes} == {MINILM.shape}
        assert [s.rank for s in shapes] == list(range(4, 384, 4))

    def test_bilstms_learn_states_of_the_teacher_s_width(self):
        shapes = self.shapes("bilstm")
        assert {s.projection for s in shapes} == {384}
        assert BiLstmShape(embedding=50, hidden=200, projection=384) in shapes
        assert len(shapes) == 4 * 5

    def test_heads_too_narrow_to_stand_alone(self):
        teacher = MINILM.at(EncoderShape(layers=2, hidden=16, heads=4, ffn=32))
        assert {s.shape.hidden for s in family(teacher, SQUEEZING, embedding=None)} == {8, 12, 16}


class TestWords:
    def test_fewer_of_them_leave_room(self):
        targets = (Target(compression_ratio=4, vocabulary_size=words) for words in (MINILM.vocabulary, 8000))
        whole, trimmed = (plan_student(MINILM, SQUEEZING, target, head=CLASSES) for target in targets)
        assert trimmed.architecture.vocabulary == 8000
        assert trimmed.parameters.body > 2 * whole.parameters.body

    def test_no_more_than_there_are(self):
        target = Target(compression_ratio=4, vocabulary_size=100_000)
        assert plan_student(MINILM, SQUEEZING, target, head=CLASSES).architecture.vocabulary == 30_522

    def test_the_ratio_is_to_the_whole_teacher(self):
        """With most words gone its own shape is a student of it."""
        target = Target(shape=MINILM.shape, vocabulary_size=1000)
        plan = plan_student(MINILM, SQUEEZING, target, head=CLASSES)
        assert plan.compression_ratio == WHOLE / plan.parameters.total > 1.9

    def test_a_head_of_words_follows(self):
        plan = plan_student(MINILM, INHERITED, Target(compression_ratio=4, vocabulary_size=5000), head=WORDS)
        hidden = plan.shape.hidden
        assert plan.parameters.head == hidden * hidden + hidden + 2 * hidden + 5000

    @pytest.mark.parametrize("name", ["distillation", "low_rank", "pea_kd", "bilstm"])
    def test_a_factorised_table(self, name):
        target = Target(compression_ratio=2, embedding_size=48)
        plan = plan_student(MINILM, method(name), target, head=CLASSES)
        assert plan.shape.embedding == 48
        assert plan.parameters.total <= WHOLE / 2

    def test_beside_a_shape(self):
        shape = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
        plan = plan_student(MINILM, COPY, Target(shape=shape, embedding_size=64), head=CLASSES)
        assert plan.shape == shape.model_copy(update={"embedding": 64})

    @pytest.mark.parametrize(
        ("shape", "code"),
        [
            (EncoderShape(layers=3, hidden=192, heads=6, ffn=768, embedding=32), "invalid_shape"),
            (EncoderShape(layers=3, hidden=64, heads=2, ffn=256), "invalid_shape"),
        ],
        ids=["another", "no narrower"],
    )
    def test_that_does_not_fit_the_shape(self, shape, code):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(MINILM, COPY, Target(shape=shape, embedding_size=64), head=CLASSES)
        assert (caught.value.code, caught.value.pointer) == (code, "#/target/embedding_size")

    def test_no_narrower_than_any_student(self):
        with pytest.raises(InvalidRequest, match="embedding of 384"):
            plan_student(MINILM, COPY, Target(compression_ratio=2, embedding_size=384), head=CLASSES)

    def test_wider_than_any_bilstm(self):
        target = Target(compression_ratio=2, embedding_size=1025)
        with pytest.raises(InvalidRequest, match="at most 1024") as caught:
            plan_student(MINILM, method("bilstm"), target, head=CLASSES)
        assert (caught.value.code, caught.value.pointer) == ("target_not_allowed", "#/target/embedding_size")

    @pytest.mark.parametrize(
        "size", [{"compression_ratio": 2}, {"shape": MARIAN.shape.model_copy(update={"decoder_layers": 1})}]
    )
    def test_not_of_a_translator(self, size):
        with pytest.raises(InvalidRequest) as caught:
            plan_student(MARIAN, COPY, Target(**size, embedding_size=64), head=TRANSLATION)
        assert caught.value.code == "target_not_allowed"

    @pytest.mark.parametrize("name", ["weight_inherited", "weight_distillation"])
    @pytest.mark.parametrize(
        ("target", "place"),
        [
            (Target(compression_ratio=2, embedding_size=64), "embedding_size"),
            (Target(shape=MINILM.shape.model_copy(update={"embedding": 64})), "shape/embedding"),
        ],
        ids=["beside", "within"],
    )
    def test_where_a_method_takes_the_table_as_a_whole(self, name, target, place):
        with pytest.raises(InvalidRequest, match=name) as caught:
            plan_student(MINILM, method(name), target, head=CLASSES)
        assert (caught.value.code, caught.value.pointer) == ("target_not_allowed", f"#/target/{place}")


class TestLatency:
    LIMIT = Target(max_latency_ms=2)

    @staticmethod
    def by_body(architecture: Architecture, head: Head) -> float:
        """Two milliseconds for three million parameters that compute."""
        return architecture.count(head=head).body / 1.5e6

    @pytest.mark.parametrize("name", able(CLASSES))
    def test_the_largest_in_time(self, name):
        asked = []

        def latency(architecture: Architecture, head: Head) -> float:
            asked.append(architecture)
            return self.by_body(architecture, head)

        plan = plan_student(MINILM, method(name), self.LIMIT, head=CLASSES, latency=latency)
        students = [
            student
            for student in family(MINILM, method(name), embedding=None)
            if total(student, CLASSES) < WHOLE and self.by_body(student, CLASSES) <= 2
        ]
        assert plan.parameters.body == max(student.count(head=CLASSES).body for student in students)
        assert plan.latency_ms == self.by_body(plan.architecture, CLASSES)
        assert len(asked) <= 7
        assert plan.budget.parameters == plan.parameters.total

    def test_of_many_a_few_are_timed(self):
        asked = []

        def latency(architecture: Architecture, head: Head) -> float:
            asked.append(architecture)
            return self.by_body(architecture, head)

        plan = plan_student(MARIAN, SQUEEZING, Target(max_latency_ms=10), head=TRANSLATION, latency=latency)
        assert len(asked) <= 7
        assert 0.9 * 10 < plan.latency_ms <= 10

    def test_what_was_chosen_was_measured_to_fit(self):
        """However little time has to do with size."""

        def latency(architecture: Architecture, head: Head) -> float:
            return (7 * architecture.shape.hidden + 13 * architecture.shape.layers) % 17 / 5

        plan = plan_student(MINILM, SQUEEZING, self.LIMIT, head=CLASSES, latency=latency)
        assert plan.latency_ms == latency(plan.architecture, CLASSES) <= 2

    def test_none_is_so_fast(self):
        with pytest.raises(InvalidRequest, match=r"took 3 ms") as caught:
            plan_student(MINILM, SQUEEZING, self.LIMIT, head=CLASSES, latency=lambda architecture, head: 3.0)
        assert caught.value.pointer == "#/target/max_latency_ms"
        assert caught.value.details["fastest_ms"] == 3.0
