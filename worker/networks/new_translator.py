"""A translation model without a teacher: its vocabulary and its config, made from a data set alone."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import MarianConfig

from app.domain.architectures import Architecture
from app.domain.tasks import Head
from worker.contracts import Teacher
from worker.networks.loading import build_network

PADDING, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def untrained_translator(dataset: Path, architecture: Architecture) -> Teacher:
    """A model of random weights that says what is to be trained.

    Args:
        dataset: the canonical folder, whose training split the vocabulary is made of.
        architecture: as planned; where the split has fewer pieces than that, the model has fewer.
    """
    columns = pq.read_table(dataset / "train.parquet", columns=["source", "target"])
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
    )


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """Byte-level BPE with an end of sentence: no text is unknown to it, and each is given back as it was.

    Args:
        texts: of both languages, whose pieces are shared.
        vocabulary: pieces at most; 256 bytes and three special ones are always there.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    # A word is the same piece wherever in a sentence it stands: the first one gets a space before it, too.
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, END, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A $B {END}", special_tokens=[(END, end)]
    )
    return tokenizer


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
