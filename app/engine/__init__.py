"""Running exported models: ONNX Runtime sessions, tokenising and decoding."""
