"""The classifier behind BentoML: ``bentoml serve bentoml_app:Classifier --port PORT``."""

import bentoml
from onnx_classifier import BATCH, OnnxClassifier


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Classifier:
    """Batched, as BentoML documents it."""

    def __init__(self) -> None:
        self.model = OnnxClassifier()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=BATCH, max_latency_ms=1000)
    def classify(self, texts: list[str]) -> list[dict]:
        return self.model(texts)
