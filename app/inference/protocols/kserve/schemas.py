"""Requests and answers of the protocol, as JSON."""

from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from app.domain.exact_types import ExactModel

VERSION: Final = "1"
"""Of every model: another student is another model."""

_MOST_TENSORS: Final = 16


def _nothing_for_null(given: object) -> object:
    """Some clients send null for parameters that they do not set."""
    return {} if given is None else given


Given: TypeAlias = Annotated[
    dict[str, Any],
    BeforeValidator(_nothing_for_null, json_schema_input_type=dict[str, Any] | None),
]
"""Parameters by their names."""


class InputTensor(ExactModel):
    """A tensor: its elements follow the JSON where `parameters.binary_data_size` says how many bytes."""

    name: str
    shape: list[int] = Field(max_length=8)
    datatype: str
    parameters: Given = Field(default_factory=dict)
    data: list[Any] | None = None


class RequestedOutput(ExactModel):
    """An output that is asked for.

    `parameters`: `binary_data`, whether it comes behind the JSON; `classification`, so many labels of
    `probabilities`, best first, as `score:index:label`.
    """

    name: str
    parameters: Given = Field(default_factory=dict)


class InferRequest(ExactModel):
    """Texts for a model.

    `parameters` holds those of its task; those of the protocol change no answer.
    """

    model_config = ConfigDict(protected_namespaces=())

    id: str | None = None
    model_name: str | None = Field(default=None, description="As in the path.")
    parameters: Given = Field(default_factory=dict)
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=_MOST_TENSORS)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=_MOST_TENSORS)] | None = None


class OutputTensor(TypedDict):
    """A tensor of the answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: NotRequired[dict[str, int]]
    data: NotRequired[list[Any]]


class InferAnswer(TypedDict):
    """What a model says of the texts, in their order."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[OutputTensor]


class TensorMetadata(TypedDict):
    """A tensor that a model takes or gives; -1: any size."""

    name: str
    datatype: str
    shape: list[int]
    parameters: NotRequired[dict[str, bool]]


class ModelFacts(TypedDict):
    """What texts and answers of a model are."""

    model: str
    """Its id, where an endpoint was named, or a canary of that."""
    task: str
    precisions: list[str]
    labels: NotRequired[list[str]]


class ModelMetadata(TypedDict):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: ModelFacts


class ModelReady(TypedDict):
    """That a model answers."""

    name: str
    ready: Literal[True]


class IndexRequest(ExactModel):
    """Which models are listed."""

    ready: bool = Field(default=False, description="Only those that answer.")


class IndexedModel(TypedDict):
    """A model of the project, and why it does not answer, if it does not."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class LoadParameters(ExactModel):
    """How a model is loaded."""

    precision: str | None = Field(default=None, description="As in predictions.")


class LoadRequest(ExactModel):
    """A model is loaded into memory."""

    parameters: LoadParameters = Field(default_factory=LoadParameters)


class UnloadParameters(ExactModel):
    """How a model is unloaded."""

    unload_dependents: bool | None = Field(default=None, description="Accepted; no model has any.")


class UnloadRequest(ExactModel):
    """A model leaves the memory."""

    parameters: UnloadParameters = Field(default_factory=UnloadParameters)


class Done(TypedDict):
    """Nothing more to say."""


class ServerMetadata(TypedDict):
    """What the server is and can do beside the protocol."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(TypedDict):
    """That the process responds."""

    live: Literal[True]


class ServerReady(TypedDict):
    """That models can be asked."""

    ready: Literal[True]
