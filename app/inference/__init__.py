"""Predictions: a model's ONNX export, batched over the clients that ask at the same time."""

from app.inference.protocols import inference_routes, openapi_document
from app.inference.runtime import InferenceRuntime

__all__ = ["InferenceRuntime", "inference_routes", "openapi_document"]
