"""Log records, as text or a line of JSON each: with the ids of what they belong to, and without secrets."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

LogFormat: TypeAlias = Literal["text", "json"]

_context: ContextVar[dict[str, str]] = ContextVar("log_context")
_FIELDS = {"levelname": "level", "name": "logger", "exc_info": "exception"}
_SECRETS = re.compile(
    r"(?P<url>://[^\s:/@]*:)[^\s/@]+(?=@)"
    r"|(?P<key>sqz_[0-9A-Z]{26}_)[0-9a-f]{64}"
    r"|(?P<webhook>whsec_)[A-Za-z0-9+/=]{16,}"
    r"|(?P<header>authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic)\s+)[^\s'\",]+",
    re.IGNORECASE,
)


def configure_logging(form: LogFormat = "text", level: int = logging.INFO) -> None:
    """Log to stderr; for a process of ours, not for one that imports us."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Text() if form == "text" else _Json())
    handler.addFilter(_with_context)
    logging.basicConfig(level=level, handlers=[handler], force=True)


@contextmanager
def log_context(**ids: str) -> Iterator[dict[str, str]]:
    """Add ids to the records of the block; what is put into the mapping later belongs to them too."""
    whole = _context.get({}) | ids
    token = _context.set(whole)
    try:
        yield whole
    finally:
        _context.reset(token)


def add_to_log_context(**ids: str) -> None:
    """Add ids to the records of the block that this is called in, wherever its context was copied to."""
    _context.get({}).update(ids)


def without_secrets(text: str) -> str:
    """The same with passwords in URLs, API keys, webhook secrets and authorization headers cut out."""
    return _SECRETS.sub(lambda match: f"{match[match.lastgroup or 0]}***", text)


def record_of(line: str, *, logger: str) -> logging.LogRecord:
    """A record that another process has written as JSON; any other line becomes a message of ``logger``."""
    try:
        fields = json.loads(line)
        level = logging.getLevelNamesMapping()[fields["level"]]
        record = logging.LogRecord(fields["logger"], level, "", 0, fields["message"], None, None)
        record.exc_text = fields.get("exception")
    except (ValueError, LookupError, TypeError):
        return logging.LogRecord(logger, logging.INFO, "", 0, line, None, None)
    return record


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(context)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class _Json(JsonFormatter):
    """The ids are attributes of the record, which the library writes of itself."""

    def __init__(self) -> None:
        reserved = [*RESERVED_ATTRS, "context", "color_message"]  # the last is uvicorn's
        super().__init__(
            ("levelname", "name", "message"), rename_fields=_FIELDS, timestamp="time", reserved_attrs=reserved
        )

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def _with_context(record: logging.LogRecord) -> bool:
    ids = _context.get({})
    vars(record).update(ids)
    record.context = " ".join(ids.values()) or "-"
    return True
