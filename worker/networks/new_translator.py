"""A translation model without a teacher: its vocabulary and its config, made from a data set alone."""

from pathlib import Path

from tokenizers import Tokenizer
from transformers import MarianConfig

from app.domain.architectures import Architecture
from app.domain.tasks import Head
from worker.contracts import Teacher
from worker.data.tables import read_split
from worker.networks.loading import build_network
from worker.networks.new_tokenizer import END, PADDING, train_tokenizer


def untrained_translator(dataset: Path, architecture: Architecture) -> Teacher:
    """A model of random weights that says what is to be trained.

    Args:
        dataset: the canonical folder, whose training split the vocabulary is made of.
        architecture: as planned; where the split has fewer pieces than that, the model has fewer.
    """
    columns = read_split(dataset, "train", ["source", "target"])
    texts = (text.as_py() for column in columns.columns for text in column)
    tokenizer = train_tokenizer(texts, vocabulary=architecture.vocabulary)
    architecture = architecture.model_copy(update={"vocabulary": tokenizer.get_vocab_size()})
    config = marian_config(tokenizer, positions=architecture.positions)
    head = Head.of("translation", labels=0, vocabulary=architecture.vocabulary)
    network = build_network(config, architecture, head)
    return Teacher(
        network=network,
        tokenizer=tokenizer,
        architecture=architecture,
        digest="untrained",
        has_new_head=True,
        is_untrained=True,
    )


def marian_config(tokenizer: Tokenizer, *, positions: int) -> MarianConfig:
    """What an architecture does not say of a translation model on this vocabulary."""
    padding, end = tokenizer.token_to_id(PADDING), tokenizer.token_to_id(END)
    return MarianConfig(
        max_position_embeddings=positions,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=padding,
        decoder_start_token_id=padding,
        eos_token_id=end,
        forced_eos_token_id=end,
    )
