"""The seam between the queue and the tasks: what a loaded model is asked, and how."""

from collections.abc import Callable, Hashable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from app.inference.predictors.results import Result

Tokens = TypeVar("Tokens", bound=Sized)
Options = TypeVar("Options", bound=Hashable)


class RunLimits(NamedTuple):
    """What makes a good run, in tokens with padding. The defaults hold for one pass through an encoder.

    A batch gains little there on a CPU (measured on MiniLM-L6, int8, 25 tokens: 1.9 ms alone, 1.5 ms a text
    in a batch of 8 and of 32), while padding costs in full: so runs are short, and side by side.
    """

    start: int = 16
    """What starting a run costs: 7 to 18 for MiniLM-L6 and 3 x 192, int8 and fp32."""

    full: int = 192
    """From here on a longer run is no faster a token."""

    most: int = 512
    """Bounds the memory of one run and how long others wait for it: about as long as for one long text."""

    reads_whole: bool = False
    """Whether a text is read beyond the model's length, in windows."""


@dataclass(frozen=True, slots=True)
class Run(Generic[Tokens, Options]):
    """Texts that go through a model together."""

    texts: Sequence[Tokens]
    options: Options
    is_wanted: Callable[[int], bool]
    """Whether a client still waits for the text of this number; long runs ask on the way."""


class Predictor(Protocol):
    """A loaded model that answers its task.

    ``encode`` and ``run`` are called from several threads at once, the others from the event loop.
    ``options`` are those of the predictor's module, whatever protocol they were asked for in.
    """

    def run_options(self, inputs: Sequence[Any], options: Any) -> Hashable:
        """What of the options a run has to know; texts whose run options differ do not run together.

        Raises:
            InvalidArgument: the options or inputs do not fit this model.
        """

    def limits(self, run_options: Any) -> RunLimits: ...

    def encode(self, texts: Sequence[Any], run_options: Any) -> Sequence[Sized]:
        """Tokens of each text, for runs with these options; their length is what a run of it costs."""

    def run(self, run: Run[Any, Any]) -> Sequence[Any]:
        """What the model says of each text."""

    def result(self, row: Any, options: Any) -> Result:
        """The answer to one text, from what a run said of it.

        Raises:
            InvalidArgument: the model could not answer this text.
        """
