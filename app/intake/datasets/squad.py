"""SQuAD's files: articles of paragraphs, each with questions, to a row a question."""

from collections.abc import Iterator
from typing import Any


def is_squad(articles: Any) -> bool:
    """Whether a list holds articles of paragraphs."""
    return (
        isinstance(articles, list)
        and bool(articles)
        and isinstance(articles[0], dict)
        and isinstance(articles[0].get("paragraphs"), list)
    )


def questions_of(articles: list[Any]) -> Iterator[Any]:
    """A row a question, with its context; what is no such object stays as it is, for the reader to refuse."""
    for article in articles:
        for paragraph in _list(article, "paragraphs"):
            for question in _list(paragraph, "qas"):
                if isinstance(question, dict) and isinstance(paragraph, dict):
                    yield {"context": paragraph.get("context"), **question}
                else:
                    yield question


def _list(value: Any, name: str) -> list[Any]:
    """The list under a name; the value itself as the only item where there is none."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, list) else [value]
