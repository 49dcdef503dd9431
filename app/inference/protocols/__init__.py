"""The forms in which clients ask for predictions and read the answers: each protocol has a folder.

A protocol reads a request into texts and options of a predictor, asks the runtime, and renders results and
problems.
"""

from starlette.routing import Route

from app.inference.protocols.huggingface import huggingface_routes, openapi_document

__all__ = ["inference_routes", "openapi_document"]


def inference_routes() -> list[Route]:
    return huggingface_routes()
