"""What a client should hear of a data set's texts before a model is trained on them."""

from collections.abc import Iterator

from worker.contracts import ModelTokenizers, TaskData, TokenizedSplit
from worker.data.tokenization import unknown_shares

_MANY_UNKNOWN = 0.1
"""Share of unknown pieces from which it is worth a word: a usual text has hardly one."""
_MANY_CUT = 0.05
"""Share of rows that were cut, likewise."""


def text_warnings(
    data: TaskData, tokenizers: ModelTokenizers, *, max_length: int, most_tokens: int
) -> Iterator[str]:
    """Sentences about what of the texts cannot be learnt.

    Args:
        data: in the teacher's tokens.
        tokenizers: the teacher's.
        max_length: tokens at which rows were cut.
        most_tokens: as many as the teacher takes.
    """
    for name, split in data.splits.items():
        yield from _of_unknown_pieces(name, split, tokenizers)
        yield from _of_cut_rows(name, split, max_length=max_length, most_tokens=most_tokens)


def _of_unknown_pieces(name: str, split: TokenizedSplit, tokenizers: ModelTokenizers) -> Iterator[str]:
    shares = {
        f"the {language!r} texts" if language else "the texts": share
        for language, share in unknown_shares(split, tokenizers.source_tokenizer).items()
    }
    if split.targets is not None:
        written = unknown_shares(split.targets, tokenizers.target_tokenizer)
        shares["the translations"] = max(written.values(), default=0.0)
    for texts, share in shares.items():
        if share >= _MANY_UNKNOWN:
            yield (
                f"{share:.0%} of the tokens in {texts} of {name} are unknown ([UNK]) to the tokenizer; the "
                "model cannot learn from them. Use a teacher whose vocabulary covers the language."
            )


def _of_cut_rows(name: str, split: TokenizedSplit, *, max_length: int, most_tokens: int) -> Iterator[str]:
    cut = max(split.cut, 0 if split.targets is None else split.targets.cut)
    if cut < _MANY_CUT * len(split):
        return
    advice = "This is the teacher's maximum."
    if max_length < most_tokens:
        advice = f"Raise training.max_length; this teacher supports up to {most_tokens}."
    yield (
        f"{cut / len(split):.0%} of the rows of {name} are longer than {max_length} tokens and are "
        f"truncated in training and evaluation. {advice}"
    )
