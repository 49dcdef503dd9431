"""The forms of OpenAI's API, and of the services that are like it."""

from typing import Final

from app.auth.routes import PlainProtectedRoute
from app.inference.protocols.openai.classify import classify_document, classify_route
from app.inference.protocols.openai.embeddings import embeddings_document, embeddings_route
from app.inference.protocols.openai.rerank import rerank_document, rerank_route

__all__ = ["OPENAI_DOCUMENTS", "openai_routes"]


def openai_routes() -> list[PlainProtectedRoute]:
    return [embeddings_route(), classify_route(), rerank_route()]


OPENAI_DOCUMENTS: Final = (embeddings_document, classify_document, rerank_document)
