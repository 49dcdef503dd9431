"""Folders of models that answer questions."""

import pytest
from transformers import AutoConfig, AutoModelForQuestionAnswering

from app.domain.errors import InvalidRequest
from app.intake.models.folder import prepare
from tests.tiny import tiny_model_folder


@pytest.mark.parametrize("outputs", [2, 3])
def test_two_outputs_are_where_an_answer_begins_and_ends(tmp_path, outputs):
    folder = tiny_model_folder(tmp_path / "model")
    config = AutoConfig.from_pretrained(folder, num_labels=outputs)
    network = AutoModelForQuestionAnswering.from_config(config)
    if outputs != 2:  # transformers' own class would not answer with them
        import torch

        network.qa_outputs = torch.nn.Linear(config.hidden_size, outputs)
    network.save_pretrained(folder)
    (tmp_path / "stored").mkdir()
    if outputs != 2:
        with pytest.raises(InvalidRequest, match=f"{outputs} outputs, not 2"):
            prepare(folder, tmp_path / "stored")
        return
    manifest = prepare(folder, tmp_path / "stored")
    assert (manifest.task, manifest.labels, manifest.thresholds) == ("question_answering", None, None)
    assert manifest.parameters == network.num_parameters()
