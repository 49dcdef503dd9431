"""Predictions: a model's ONNX export, batched over the clients that ask at the same time."""
