"""The forms in which clients ask for predictions and read the answers: each protocol has a folder.

A protocol reads a request into texts and options of a predictor, asks the runtime, and renders results and
problems.
"""

from typing import Final

from starlette.routing import Route

from app.inference.protocols.connection import ClientGone, answer_nobody
from app.inference.protocols.huggingface import HUGGINGFACE_DOCUMENTS, huggingface_routes
from app.inference.protocols.kserve import KSERVE_DOCUMENTS, answer_unknown_calls, kserve_routes
from app.inference.protocols.kserve import router as kserve_router
from app.inference.protocols.loading import loading_documents, loading_routes
from app.inference.protocols.openai import OPENAI_DOCUMENTS, openai_routes

__all__ = [
    "INFERENCE_DOCUMENTS",
    "ClientGone",
    "answer_nobody",
    "answer_unknown_calls",
    "inference_routes",
    "kserve_router",
]


def inference_routes() -> list[Route]:
    return [*huggingface_routes(), *openai_routes(), *kserve_routes(), *loading_routes()]


INFERENCE_DOCUMENTS: Final = (
    *HUGGINGFACE_DOCUMENTS,
    *OPENAI_DOCUMENTS,
    *KSERVE_DOCUMENTS,
    loading_documents,
)
"""They write what OpenAPI says of the routes."""
