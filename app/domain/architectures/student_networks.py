"""What planner and worker know of one network of a kind that only students are of."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias, TypeVar

from app.domain.architectures.config import FamilyConfig
from app.domain.architectures.count import ParameterCount
from app.domain.architectures.family import BiLstmFamily, StaticFamily, TfidfFamily
from app.domain.architectures.network import NetworkArchitecture
from app.domain.architectures.registry import BILSTMS, FAMILIES, STATICS, TFIDFS
from app.domain.architectures.shape import BiLstmShape, NetworkShape, StaticShape, TfidfShape
from app.domain.architectures.tensors import Shapes, parameters
from app.domain.tasks import Head
from app.domain.tasks.record import HeadKind, NetworkKind

if TYPE_CHECKING:
    BiLstmFamilyName: TypeAlias = str
    TfidfFamilyName: TypeAlias = str
    StaticFamilyName: TypeAlias = str
else:  # a type checker cannot know what the registry finds
    BiLstmFamilyName = Literal[tuple(BILSTMS)]
    TfidfFamilyName = Literal[tuple(TFIDFS)]
    StaticFamilyName = Literal[tuple(STATICS)]


_Shape = TypeVar("_Shape", bound=NetworkShape)


class _StudentArchitecture(NetworkArchitecture[_Shape]):
    """What they have in common: a family each, and no token types."""

    token_types: ClassVar[int] = 0

    @classmethod
    def of_config(cls, config: FamilyConfig) -> Self:
        """The network of a config.

        Raises:
            ValueError: a size is out of bounds.
        """
        sizes = FAMILIES[config.model_type].read_sizes(config)
        tables = {name: sizes.pop(name) for name in ("vocabulary", "positions")}
        return cls.model_validate({"family": config.model_type, "shape": sizes, **tables})


class BiLstmArchitecture(_StudentArchitecture[BiLstmShape]):
    """Architecture of a BiLSTM: its shape and its vocabulary size."""

    kind: ClassVar[NetworkKind] = "bilstm"

    family: BiLstmFamilyName = "bilstm"

    @property
    def record(self) -> BiLstmFamily:
        return BILSTMS[self.family]

    def count(self, *, head: Head) -> ParameterCount:
        """Parameters with a head."""
        sizes, record = self.sizes, self.record
        return ParameterCount(
            embeddings=parameters(record.word_tensors(sizes)),
            encoder=parameters(record.encoder_tensors(sizes)),
            head=parameters(record.head_tensors(sizes, outputs=head.outputs)),
        )

    def tensors(self) -> Shapes:
        """Every tensor without the head's."""
        return self.record.word_tensors(self.sizes) | self.record.encoder_tensors(self.sizes)

    def head_tensors(self, *, outputs: int) -> Shapes:
        return self.record.head_tensors(self.sizes, outputs=outputs)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a network."""
        return self.record.class_name(head)


class TfidfArchitecture(_StudentArchitecture[TfidfShape]):
    """Architecture of a linear classifier over TF-IDF: how many terms it weighs, of which vocabulary."""

    kind: ClassVar[NetworkKind] = "tfidf"

    family: TfidfFamilyName = "tfidf"

    @property
    def record(self) -> TfidfFamily:
        return TFIDFS[self.family]

    def count(self, *, head: Head) -> ParameterCount:
        """Parameters with a head; which terms there are is not learnt, and not counted."""
        return ParameterCount(
            embeddings=0,
            encoder=self.shape.terms,
            head=parameters(self.record.head_tensors(self.sizes, outputs=head.outputs)),
        )

    def tensors(self) -> Shapes:
        """Every tensor that is learnt, without the head's."""
        return {self.record.idf: (self.shape.terms,)}

    def key_tensors(self) -> Shapes:
        """What says which terms there are."""
        return {self.record.keys: (self.shape.terms,)}

    def head_tensors(self, *, outputs: int) -> Shapes:
        return self.record.head_tensors(self.sizes, outputs=outputs)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a network."""
        return self.record.class_name(head)


class StaticArchitecture(_StudentArchitecture[StaticShape]):
    """Architecture of static embeddings: the dimensions of a vector and the vocabulary size."""

    kind: ClassVar[NetworkKind] = "static"

    family: StaticFamilyName = "static"

    @property
    def record(self) -> StaticFamily:
        return STATICS[self.family]

    @property
    def width(self) -> int:
        return self.shape.dimensions

    @property
    def answered_dimensions(self) -> int:
        return self.shape.dimensions

    def count(self, *, head: Head) -> ParameterCount:  # noqa: ARG002 - the table's rows are the answer's parts
        """Parameters of the table."""
        return ParameterCount(embeddings=parameters(self.tensors()), encoder=0, head=0)

    def tensors(self) -> Shapes:
        """The table."""
        return self.record.word_tensors(self.sizes)

    def class_name(self, head: HeadKind | None) -> str:
        """Of the worker's class for such a table."""
        return self.record.class_name(head)
