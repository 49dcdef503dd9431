"""Predictions: a model's ONNX export, batched over the clients that ask at the same time."""

from app.inference.protocols import INFERENCE_DOCUMENTS, inference_routes
from app.inference.runtime import InferenceRuntime

__all__ = ["INFERENCE_DOCUMENTS", "InferenceRuntime", "inference_routes"]
