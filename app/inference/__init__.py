"""Predictions: a model's ONNX export, batched over the clients that ask at the same time."""

from app.inference.protocols import INFERENCE_DOCUMENTS, ClientGone, answer_nobody, inference_routes
from app.inference.runtime import InferenceRuntime

__all__ = ["INFERENCE_DOCUMENTS", "ClientGone", "InferenceRuntime", "answer_nobody", "inference_routes"]
