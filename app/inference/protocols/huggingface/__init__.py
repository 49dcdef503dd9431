"""Predictions in the forms that clients of Hugging Face send and read."""

from app.inference.protocols.huggingface.endpoints import huggingface_routes, openapi_document

__all__ = ["huggingface_routes", "openapi_document"]
