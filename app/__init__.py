"""The API, and what both halves of the system share."""

import os

# ONNX Runtime reports what it runs to its makers unless told otherwise before it is imported; Hugging Face's
# client adds what it runs on to its requests.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
