"""Tables of static vectors, as model2vec and sentence-transformers make them: no teachers."""

from app.domain.errors import InvalidRequest

MODEL_TYPE = "model2vec"


def static_table(where: str) -> InvalidRequest:
    """The refusal; ``where`` is the file that shows what the folder is."""
    return InvalidRequest(
        "unsupported_modules",
        f"{where} is of a table of static vectors, of which nothing can be compressed. Upload the model it "
        "was made of; the method static_embedding makes such a table of it.",
        pointer="#/file",
    )
