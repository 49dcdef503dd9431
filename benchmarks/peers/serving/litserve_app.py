"""The classifier behind LitServe: ``python litserve_app.py PORT``."""

import sys

import litserve
from onnx_classifier import BATCH, BATCH_WAIT_S, OnnxClassifier


class Api(litserve.LitAPI):
    """Batched, as LitServe documents it."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe gives it
        self.classify = OnnxClassifier()

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        return self.classify(texts)

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=BATCH_WAIT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
