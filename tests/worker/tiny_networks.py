"""Tiny networks and splits for tests that need no job around them."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from transformers import PreTrainedModel

from tests.tiny import (
    LABELS,
    PAIR_LABELS,
    tiny_examples,
    tiny_model_folder,
    tiny_pair_examples,
    tiny_tokenizer,
)
from worker.contracts import TaskData, TokenizedSplit
from worker.data.tokenization import tokenize
from worker.networks.anatomy import ANATOMIES


def classifier(folder: Path, family: str = "bert", **shape: int) -> PreTrainedModel:
    """A tiny classifier whose logits are large enough for a fault to show."""
    tiny_model_folder(folder, labels=LABELS, family=family, **shape)
    network = ANATOMIES[family].heads["text_classification"].network.from_pretrained(folder).eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


def dev_split(rows: int = 80, *, pairs: bool = False) -> TokenizedSplit:
    examples = tiny_pair_examples(rows) if pairs else tiny_examples(rows)
    names = PAIR_LABELS if pairs else LABELS
    return tokenize(
        [example["text"] for example in examples],
        [example["text_pair"] for example in examples] if pairs else None,
        [names.index(example["label"]) for example in examples],
        tokenizer=tiny_tokenizer(),
        max_length=64,
        token_types=pairs,
    )


def dev_data(split: TokenizedSplit | None = None) -> TaskData:
    """A data set of one split."""
    split = split or dev_split()
    return TaskData(
        task="text_classification",
        train=split,
        dev=split,
        unlabeled=None,
        labels=LABELS,
        pad_id=0,
        vocabulary=tiny_tokenizer().get_vocab_size(),
    )


def shift_bias(path: Path, by: float) -> None:
    """Change one weight of an ONNX file, and with it the first logit of every text."""
    model = onnx.load(path)
    [bias] = [tensor for tensor in model.graph.initializer if tensor.name.endswith("classifier.bias")]
    values = numpy_helper.to_array(bias).copy()
    values[0] += by
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, path)
