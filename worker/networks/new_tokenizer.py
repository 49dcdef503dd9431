"""A tokenizer for a model without a teacher, made from the texts of a data set."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PADDING, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """Byte-level BPE with an end of sentence: no text is unknown to it, and each is given back as it was.

    Args:
        texts: all that the model reads and writes, whose pieces are shared.
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
