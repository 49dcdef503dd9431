from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from app.domain.documents import TrainingSpec
from app.domain.errors import JobError
from app.domain.methods import DistillationTerms
from app.domain.tasks import Head
from tests.worker.compression import STUDENT_SHAPE, Interrupted, MemoryContext, make_data, make_teacher
from worker.contracts import Replica
from worker.data.batches import collate, subset
from worker.distillation.objectives import LabelLoss
from worker.distillation.training_objective import TrainingObjective, distillation_objective
from worker.networks.loading import build_network
from worker.numerics.precision import autocast
from worker.parameterization.parameterizations import DenseWeights, Rates
from worker.training.dropout import set_dropout
from worker.training.loop import Phase, train
from worker.training.micro_batches import with_shares
from worker.training.row_stream import row_stream
from worker.training.schedules import PhaseSchedule
from worker.training.selection import PhaseSelection
from worker.transfer.initialisation import random_network

HEAD = Head(task="text_classification", outputs=2)
LABEL_LOSS = LabelLoss("text_classification")
TRAINING = TrainingSpec(batch_size=32)


@pytest.fixture
def network(tmp_path):
    teacher = make_teacher()
    torch.manual_seed(0)
    return build_network(teacher.network.config, teacher.architecture.at(STUDENT_SHAPE), HEAD)


def run(network, context, *, steps=16, evaluate=lambda _: 0.5, objective=LABEL_LOSS, rate=1e-3):
    phase = Phase("training", lambda: DenseWeights(network, Rates(rate, 0.01)), PhaseSchedule(steps))
    return train(
        network,
        TrainingObjective(make_data().train, objective, pad_id=0),
        phases=[phase],
        evaluate=evaluate,
        context=context,
    )


def test_keeps_the_best_evaluation_not_the_last(network, tmp_path):
    qualities, seen = iter([0.2, 0.9, 0.4]), []

    def evaluate(candidate):
        seen.append({name: value.clone() for name, value in candidate.state_dict().items()})
        return next(qualities)

    result = run(network, MemoryContext(tmp_path), evaluate=evaluate)
    assert result.best_quality == 0.9
    assert result.best_step == 11
    assert all(torch.equal(network.state_dict()[name], value) for name, value in seen[1].items())
    assert not network.training


def test_micro_batches_add_up_to_the_whole_batch(network, tmp_path):
    start = {name: value.clone() for name, value in network.state_dict().items()}
    results = []
    for size in (None, 8):
        network.load_state_dict(start)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        context = MemoryContext(tmp_path, micro_batch_size=size)
        # The first step of Adam turns tiny differences of gradients into differences of sign.
        run(network, context, steps=1, rate=1e-3)
        results.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    moved = (results[0] - torch.cat([start[n].flatten() for n, _ in network.named_parameters()])).abs().mean()
    assert (results[0] - results[1]).abs().mean() < 0.02 * moved


@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_shares_of_micro_batches_add_up_to_the_same_loss(tmp_path, task):
    """Rows have words of their own number: a mean over words is none over the means of rows."""
    network, data = make_teacher(task=task).network, make_data(task)
    by_length = data.train.lengths.argsort()
    batches = [
        collate(data.train, rows, pad_id=0, device=torch.device("cpu"))
        for rows in (by_length, by_length[:5], by_length[5:])
    ]
    loss = LabelLoss(task)
    with torch.no_grad():
        whole = loss(network, batches[0])
        parts = [share * loss(network, batch) for batch, share in with_shares(batches[1:])]
    assert sum(parts) == pytest.approx(whole.item())


@pytest.mark.parametrize("size", [1, 4, 11])
def test_labels_weigh_the_same_wherever_they_lie(tmp_path, size):
    """Few of the rows have one: most micro-batches have none."""
    teacher, data = make_teacher(), make_data(train=8, dev=8)
    data = replace(data, unlabeled=replace(make_data(train=24).train, labels=None))
    training_objective = distillation_objective(
        DistillationTerms(logits_weight=0.3), teacher, data, MemoryContext(tmp_path)
    )
    network, rows = make_teacher().network, np.random.default_rng(0).permutation(32)

    def loss(size):
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        batches = [
            collate(training_objective.split, part, pad_id=0, device=torch.device("cpu")) for part in parts
        ]
        return sum(
            share * training_objective.objective(network, batch) for batch, share in with_shares(batches)
        ).item()

    assert loss(size) == pytest.approx(loss(32), rel=1e-3)


@pytest.mark.parametrize("term", ["hidden_weight", "patient_weight", "relation_weight"])
@pytest.mark.parametrize("task", ["text_classification", "token_classification"])
def test_terms_on_the_inside_weigh_the_same_in_micro_batches(tmp_path, task, term):
    """They are means over tokens, or rows, whatever is asked of these."""
    teacher, data = make_teacher(task=task), make_data(task, train=24, dev=8)
    terms = DistillationTerms(logits_weight=1.0, **{term: 100.0})
    training_objective = distillation_objective(terms, teacher, data, MemoryContext(tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = random_network(teacher, data, MemoryContext(tmp_path)).eval()
    by_length = data.train.lengths.argsort()

    def loss(size):
        parts = [by_length[i : i + size] for i in range(0, 24, size)]
        batches = [
            collate(training_objective.split, part, pad_id=0, device=torch.device("cpu")) for part in parts
        ]
        return sum(
            share * training_objective.objective(network, batch) for batch, share in with_shares(batches)
        ).item()

    assert loss(5) == pytest.approx(loss(24), rel=1e-4)


def test_a_loss_that_is_no_number_fails_the_job(network, tmp_path):
    def broken(candidate, batch):
        return LABEL_LOSS(candidate, batch) * float("nan")

    with pytest.raises(JobError, match="learning_rate") as caught:
        run(network, MemoryContext(tmp_path), objective=broken)
    assert caught.value.code == "training_diverged"


def test_a_quality_that_is_no_number_fails_the_job(network, tmp_path):
    measured = phase(network, 4, evaluate=lambda _: float("nan"))
    with pytest.raises(JobError, match="learning_rate") as caught:
        run_phases(network, MemoryContext(tmp_path), [measured, phase(network, 4)])
    assert caught.value.code == "training_diverged"


class TestPhases:
    def test_a_phase_has_rows_and_a_loss_of_its_own(self, network, tmp_path):
        few = subset(make_data().train, np.arange(8))
        seen = []

        def objective(candidate, batch):
            seen.append((len(batch.rows), int(batch.rows.max())))
            return LABEL_LOSS(candidate, batch)

        run_phases(
            network,
            MemoryContext(tmp_path),
            [
                phase(network, 2, training_objective=TrainingObjective(few, objective, pad_id=0)),
                phase(network, 2),
            ],
        )
        assert seen == [(8, 7), (8, 7)]

    def test_what_a_phase_measures_by_itself_never_chooses_the_student(self, network, tmp_path):
        own, common, seen = iter([9.0, 7.0]), iter([0.05, 0.1]), []

        def measure(values):
            def evaluate(candidate):
                seen.append(flat(candidate))
                return next(values)

            return evaluate

        first = phase(network, 8, evaluate=measure(own))
        starts = []
        second = Phase("second", lambda: starts.append(flat(network)) or weights(network), PhaseSchedule(4))
        result = run_phases(
            network, MemoryContext(tmp_path, evaluations=3), [first, second], evaluate=measure(common)
        )
        assert torch.equal(starts[0], seen[0])  # the first phase's best step, not its last
        assert (result.best_quality, result.best_step) == (0.1, 12)
        assert torch.equal(flat(network), seen[3])

    def test_unfinished_steps_are_reported_and_never_the_student(self, network, tmp_path):
        qualities = iter([0.9, 0.8, 0.1, 0.2, 0.15, 0.0])
        context = MemoryContext(tmp_path, evaluations=6)
        result = run_phases(
            network,
            context,
            [phase(network, 4, unfinished_steps=3), phase(network, 2)],
            evaluate=lambda _: next(qualities),
        )
        reported = [values["dev_quality"] for *_, values in context.reports if "dev_quality" in values]
        assert reported == [0.9, 0.8, 0.1, 0.2, 0.15, 0.0]
        assert (result.best_quality, result.best_step) == (0.2, 4)

    def test_what_such_a_phase_leaves_may_be_the_best(self, network, tmp_path):
        first, seen = phase(network, 8, evaluate=lambda _: 0.0), []

        def evaluate(candidate):
            seen.append(flat(candidate))
            return -len(seen)

        result = run_phases(network, MemoryContext(tmp_path), [first, phase(network, 4)], evaluate=evaluate)
        assert result.best_step == 8
        assert len(seen) == 2
        assert torch.equal(flat(network), seen[0])

    def test_patience_ends_a_phase_and_goes_back(self, network, tmp_path):
        qualities, seen, starts = iter([0.5, 0.4, 0.4, 0.6]), [], []

        def evaluate(candidate):
            seen.append(flat(candidate))
            return next(qualities)

        context = MemoryContext(tmp_path, evaluations=20)
        phases = [
            phase(network, 19, patience=2),
            Phase("last", lambda: starts.append(flat(network)) or weights(network), PhaseSchedule(1)),
        ]
        result = run_phases(network, context, phases, evaluate=evaluate)
        assert torch.equal(starts[0], seen[0])
        assert result.best_step == result.steps == context.reports[-1][1] == 20
        assert len(seen) == 4

    @pytest.mark.parametrize("interrupt_at", [5, 6, 9])
    def test_resumes_at_and_around_the_border_of_phases(self, network, tmp_path, interrupt_at):
        start = {name: value.clone() for name, value in network.state_dict().items()}

        def train_from_start(context):
            network.load_state_dict(start)
            phases = [phase(network, 5, patience=1), phase(network, 7)]
            run_phases(network, context, phases, evaluate=lambda n: float(flat(n).square().mean()))
            return flat(network)

        whole = train_from_start(MemoryContext(tmp_path))
        broken = MemoryContext(tmp_path, checkpoint_every=1, interrupt_at=interrupt_at)
        with pytest.raises(Interrupted):
            train_from_start(broken)
        resumed = MemoryContext(tmp_path)
        resumed.checkpoint = broken.checkpoint
        assert torch.equal(train_from_start(resumed), whole)


def weights(network):
    return DenseWeights(network, Rates(1e-3, 0.01))


def phase(network, steps, *, training_objective=None, **selection):
    return Phase(
        "phase",
        lambda: weights(network),
        PhaseSchedule(steps),
        PhaseSelection(**selection),
        training_objective=training_objective,
    )


def flat(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


def run_phases(network, context, phases, *, evaluate=lambda _: 0.5):
    return train(
        network,
        TrainingObjective(make_data().train, LABEL_LOSS, pad_id=0),
        phases=phases,
        evaluate=evaluate,
        context=context,
    )


class TestReports:
    def test_a_report_has_loss_learning_rate_and_gradient_norm(self, network, tmp_path):
        context = MemoryContext(tmp_path, warmup_ratio=0.0, max_gradient_norm=1e-3)
        run(network, context, steps=20, rate=1e-3)
        reported = {step: values for _, step, _, values in context.reports if "loss" in values}
        assert list(reported) == [10, 20]
        for step, values in reported.items():
            assert values["learning_rate"] == pytest.approx(1e-3 * (21 - step) / 20)
            assert values["gradient_norm"] > 1e-2  # of the gradient as it was, not as it was clipped

    def test_the_gradient_norm_is_that_of_the_loss(self, network, tmp_path):
        set_dropout(network, 0.0)
        split, cpu = make_data().train, torch.device("cpu")
        [rows] = row_stream(split, TRAINING, first_step=0, last_step=1, replica=Replica())
        with autocast(cpu):
            loss = LABEL_LOSS(network, collate(split, rows, pad_id=0, device=cpu))
        gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        expected = torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        context = MemoryContext(tmp_path)
        run(network, context, steps=1)
        [values] = [values for *_, values in context.reports if "loss" in values]
        assert values["loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert values["gradient_norm"] == pytest.approx(expected.item(), rel=1e-3)

    def test_steps_between_reports_wait_for_nothing(self, network, tmp_path):
        """Each value that is read from a tensor is a wait for the device."""

        def objective(candidate, _):  # a network's own forward pass may read its mask
            return candidate.classifier.weight.square().mean()

        reads = []
        for steps in (11, 19):
            with ReadCounter() as counter:
                run(network, MemoryContext(tmp_path), steps=steps, objective=objective)
            reads.append(counter.reads)
        assert reads[0] == reads[1]

    def test_a_gradient_that_is_no_number_fails_the_job(self, network, tmp_path):
        def broken(candidate, batch):
            loss = LABEL_LOSS(candidate, batch)
            return loss + (0 * loss).sqrt()  # 0, whose gradient is 0 / 0

        with pytest.raises(JobError, match="gradient norm became nan") as caught:
            run(network, MemoryContext(tmp_path), objective=broken, steps=1)
        assert caught.value.code == "training_diverged"


class TestReplicas:
    def test_only_the_main_one_reports_evaluates_and_saves(self, network, tmp_path):
        evaluated = []
        for rank in (0, 1):
            context = MemoryContext(tmp_path, replica=Replica(rank, 2), checkpoint_every=1)
            run(network, context, evaluate=lambda _, rank=rank: evaluated.append(rank) or 0.5)
            assert bool(context.reports) is bool(context.checkpoint) is (rank == 0)
        assert set(evaluated) == {0}

    def test_each_trains_on_its_own_part_of_a_step(self, network, tmp_path):
        seen = {0: [], 1: []}
        for rank, rows in seen.items():

            def objective(candidate, batch, rows=rows):
                rows.append(batch.rows)
                return LABEL_LOSS(candidate, batch)

            run(network, MemoryContext(tmp_path, replica=Replica(rank, 2)), objective=objective, steps=8)
        assert {len(rows) for parts in seen.values() for rows in parts} == {16}
        assert sorted(np.concatenate(seen[0] + seen[1])) == list(range(256))


class ReadCounter(TorchDispatchMode):
    """Counts how often a tensor's value is asked for."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))
