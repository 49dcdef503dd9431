import pytest
import torch

from app.core.errors import JobError
from tests.worker.compression import STUDENT_SHAPE, MemoryContext, make_data, make_teacher
from worker.modeling.loading import build_network
from worker.training.loop import Phase, train
from worker.training.objectives import label_loss
from worker.training.weights import DenseWeights, Rates


@pytest.fixture
def network(tmp_path):
    teacher = make_teacher(tmp_path / "teacher")
    torch.manual_seed(0)
    return build_network(teacher.network, teacher.card, STUDENT_SHAPE)


def run(network, context, *, steps=16, evaluate=lambda _: 0.5, objective=label_loss, rate=1e-3):
    phase = Phase("training", steps, lambda: DenseWeights(network, Rates(rate, 0.01)))
    return train(
        network,
        make_data().train,
        phases=[phase],
        objective=objective,
        evaluate=evaluate,
        pad_id=0,
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


def test_a_loss_that_is_no_number_fails_the_job(network, tmp_path):
    def broken(candidate, batch):
        return label_loss(candidate, batch) * float("nan")

    with pytest.raises(JobError, match="learning_rate") as caught:
        run(network, MemoryContext(tmp_path), objective=broken)
    assert caught.value.code == "training_diverged"
