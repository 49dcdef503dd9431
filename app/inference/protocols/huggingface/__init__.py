"""Predictions in the forms that clients of Hugging Face send and read."""

from typing import Final

from starlette.routing import Route

from app.inference.protocols.huggingface.endpoint_info import endpoint_info_documents, endpoint_info_routes
from app.inference.protocols.huggingface.endpoints import predict_document, predict_routes

__all__ = ["HUGGINGFACE_DOCUMENTS", "huggingface_routes"]


def huggingface_routes() -> list[Route]:
    return [*predict_routes(), *endpoint_info_routes()]


HUGGINGFACE_DOCUMENTS: Final = (predict_document, endpoint_info_documents)
