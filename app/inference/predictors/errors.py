"""What is wrong with a question to a model, whatever form the request has."""

from typing import Any

from app.domain.errors import InvalidRequest


class InvalidArgument(InvalidRequest):
    """The inputs or an option of a prediction are at fault.

    Args:
        code: as of every error.
        message: likewise.
        argument: ``inputs``, ``precision`` or a name among the predictor's options; the protocol knows where
            its requests have it.
        details: every variable of the message.
    """

    def __init__(self, code: str, message: str, *, argument: str, **details: Any) -> None:
        super().__init__(code, message, **details)
        self.argument = argument
