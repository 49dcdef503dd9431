"""The classifier behind MLServer: ``mlserver start FOLDER`` on a folder whose settings name it."""

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_classifier import OnnxClassifier


class Classifier(MLModel):
    """Batched by MLServer, where the settings say so."""

    async def load(self) -> bool:
        self.classify = OnnxClassifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        answers = self.classify(StringCodec.decode_input(payload.inputs[0]))
        labels = [str(answer["label"]) for answer in answers]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("label", labels)])
