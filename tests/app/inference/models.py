"""Small models of every task with their exports, random weights and all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from app.domain.architectures import (
    Architecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.documents.manifest import OnnxExport
from app.domain.tasks import Task
from tests.tiny import tiny_model_folder, tiny_tokenizer
from worker.export.exports import make_exports
from worker.networks.anatomy import ANATOMIES

LABELS = ["bad", "fair", "good"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
MAX_LENGTH = 62
PAD, END = 0, 3  # of the tiny tokenizer

NAMES: dict[Task, list[str] | None] = {
    "text_classification": LABELS,
    "multi_label_classification": LABELS,
    "text_regression": None,
    "token_classification": TAGS,
    "masked_language_modeling": None,
    "question_answering": None,
    "translation": None,
    "sentence_embedding": None,
}


def architecture_of(task: Task) -> Architecture:
    vocabulary = tiny_tokenizer().get_vocab_size()
    if task == "translation":
        shape = EncoderDecoderShape(encoder_layers=2, decoder_layers=2, hidden=32, heads=4, ffn=64)
        return EncoderDecoderArchitecture(shape=shape, vocabulary=vocabulary, positions=MAX_LENGTH)
    return EncoderArchitecture(
        family="bert",
        shape=EncoderShape(layers=2, hidden=32, heads=2, ffn=64),
        vocabulary=vocabulary,
        positions=64,
        token_types=2,
    )


def export_of(task: Task, precision: str) -> OnnxExport:
    is_translator = task == "translation"
    return OnnxExport(
        file=f"{'encoder' if is_translator else 'model'}.{precision}.onnx",
        decoder_file=f"decoder.{precision}.onnx" if is_translator else None,
        size_bytes=1,
        max_logit_difference=0,
        label_agreement=1,
    )


def network_class(task: Task) -> Any:
    import transformers

    if task == "sentence_embedding":
        return ANATOMIES["bert"].heads[task].network
    names = {
        "text_classification": "AutoModelForSequenceClassification",
        "multi_label_classification": "AutoModelForSequenceClassification",
        "text_regression": "AutoModelForSequenceClassification",
        "token_classification": "AutoModelForTokenClassification",
        "masked_language_modeling": "AutoModelForMaskedLM",
        "question_answering": "AutoModelForQuestionAnswering",
        "translation": "MarianMTModel",
    }
    return getattr(transformers, names[task])


def load(task: Task, folder: Path) -> Any:
    """The torch network of a folder."""
    return network_class(task).from_pretrained(folder).eval()


def make_folder(folder: Path, task: Task, family: str) -> None:
    """Fill a folder as a finished job does."""
    if task == "translation":
        _make_translator(folder)
    else:
        _make_encoder(folder, task, family)


def _make_encoder(folder: Path, task: Task, family: str) -> None:
    from transformers import AutoConfig

    tiny_model_folder(folder, labels=NAMES[task], family=family)
    config = AutoConfig.from_pretrained(folder)
    config.initializer_range = 0.3  # so that texts and words differ in their answers
    if task == "multi_label_classification":
        config.problem_type = task
    if task == "text_regression":
        config.num_labels, config.problem_type = 1, "regression"
    class_ = network_class(task)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = (class_(config) if task == "sentence_embedding" else class_.from_config(config)).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    network.save_pretrained(folder)
    make_exports(network, ["fp32", "int8"], folder)


def _make_translator(folder: Path) -> None:
    from transformers import MarianConfig, MarianMTModel

    architecture = architecture_of("translation")
    assert isinstance(architecture, EncoderDecoderArchitecture)
    shape = architecture.shape
    config = MarianConfig(
        vocab_size=architecture.vocabulary,
        d_model=shape.hidden,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.encoder.heads,
        decoder_attention_heads=shape.decoder.heads,
        encoder_ffn_dim=shape.encoder.ffn,
        decoder_ffn_dim=shape.decoder.ffn,
        max_position_embeddings=architecture.positions,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
        scale_embedding=True,
        init_std=0.25,  # so that translations depend on their sources
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MarianMTModel(config).eval()
        order = torch.randperm(architecture.vocabulary)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    # A table of its own order: with one table for both sides, random weights write a word again and again.
    network.lm_head.weight = torch.nn.Parameter(network.model.shared.weight[order])
    network.final_logits_bias[0, END] = 2  # so that translations differ in length
    network.save_pretrained(folder)
    make_exports(network, ["fp32", "int8"], folder)
    _reader().save(str(folder / "tokenizer.json"))
    _writer(architecture.vocabulary).save(str(folder / "target_tokenizer.json"))


def _reader() -> Tokenizer:
    """The tiny tokenizer as one of sources: they end with a mark, and begin with none."""
    tokenizer = Tokenizer.from_str(tiny_tokenizer().to_str())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP]", special_tokens=[("[SEP]", END)]
    )
    return tokenizer


def _writer(vocabulary: int) -> Tokenizer:
    """Words that no source has, one for each id, so that a text tells which tokens were written."""
    tokenizer = Tokenizer(models.WordLevel({f"w{id_}": id_ for id_ in range(vocabulary)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


Folders = Callable[..., Path]
"""(family, task) -> the folder of a small model."""
