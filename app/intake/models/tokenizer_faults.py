"""What is said of a tokenizer that cannot be taken."""

from app.domain.errors import InvalidRequest

_ADVICE = "Save it with save_pretrained() and upload the folder."


def invalid(what: str, advice: str = _ADVICE) -> InvalidRequest:
    """Of one that is damaged, or of a kind that is not supported.

    Args:
        what: is wrong, as the end of a sentence.
        advice: what to do, as a sentence.
    """
    return InvalidRequest("invalid_tokenizer", f"The tokenizer {what}. {advice}")


def unsupported(what: str, advice: str) -> InvalidRequest:
    """Of one whose folder asks for what this service does not do: two sentences."""
    return InvalidRequest("invalid_tokenizer", f"{what} {advice}")


def does_not_fit(what: str, largest: int, rows: int) -> InvalidRequest:
    return InvalidRequest(
        "tokenizer_config_mismatch",
        f"The tokenizer's {what} go up to {largest:,}, but the embedding matrix has {rows:,} rows. Upload "
        "the tokenizer that the model was trained with.",
        largest=largest,
        rows=rows,
    )


def too_expensive(reason: str) -> InvalidRequest:
    """Of a tokenizer that used up what a process with limits has of memory or time."""
    return invalid(f"is too expensive to load or to run ({reason})")
