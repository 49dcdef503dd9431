"""Networks to ONNX files, and the proof that a file says what its network says."""
