"""The Open Inference Protocol, KServe's second, with the extensions of it that Triton's clients use."""

from typing import Final

from starlette.routing import Route

from app.inference.protocols.kserve.inferring import infer_document, infer_routes
from app.inference.protocols.kserve.models import model_documents, model_routes
from app.inference.protocols.kserve.server import answer_unknown_calls, router

__all__ = ["KSERVE_DOCUMENTS", "answer_unknown_calls", "kserve_routes", "router"]


def kserve_routes() -> list[Route]:
    return [*infer_routes(), *model_routes()]


KSERVE_DOCUMENTS: Final = (infer_document, model_documents)
