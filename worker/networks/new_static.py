"""Which tokens of a tokenizer frame every text, so that static embeddings leave them out."""

from typing import Final

from tokenizers import Tokenizer

_SOME_TEXT: Final = "a"


def framing(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids of the tokens that stand before and after every text."""
    encoding = tokenizer.encode(_SOME_TEXT)
    own = [place for place, is_special in enumerate(encoding.special_tokens_mask) if not is_special]
    if not own:  # its letter is unknown, and what stands for unknown ones is special
        return encoding.ids[:1], encoding.ids[-1:]
    return encoding.ids[: own[0]], encoding.ids[own[-1] + 1 :]
