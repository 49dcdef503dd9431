"""What planner and worker know of one translation model."""

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from app.domain.architectures.config import FamilyConfig
from app.domain.architectures.count import ParameterCount
from app.domain.architectures.family import EncoderDecoderFamily
from app.domain.architectures.layers import Sizes
from app.domain.architectures.network import NetworkArchitecture
from app.domain.architectures.registry import ENCODER_DECODERS
from app.domain.architectures.shape import EncoderDecoderShape
from app.domain.architectures.tensors import Shapes, parameters
from app.domain.tasks import Head
from app.domain.tasks.record import HeadKind, NetworkKind

if TYPE_CHECKING:
    EncoderDecoderFamilyName: TypeAlias = str
else:  # a type checker cannot know what the registry finds
    EncoderDecoderFamilyName = Literal[tuple(ENCODER_DECODERS)]


class EncoderDecoderArchitecture(NetworkArchitecture[EncoderDecoderShape]):
    """Architecture of a translation model of the Marian family."""

    kind: ClassVar[NetworkKind] = "encoder_decoder"
    token_types: ClassVar[int] = 0

    family: EncoderDecoderFamilyName = "marian"

    @classmethod
    def of_config(cls, config: FamilyConfig) -> "EncoderDecoderArchitecture":
        """The network of a config.

        Raises:
            ValueError: its sizes do not go together.
        """
        sizes: dict[str, int | None] = dict(ENCODER_DECODERS[config.model_type].read_sizes(config))
        for decoder, encoder in {
            "decoder_hidden": "hidden",
            "decoder_heads": "heads",
            "decoder_ffn": "ffn",
        }.items():
            if sizes.get(decoder) == sizes[encoder]:
                sizes[decoder] = None
        return cls.model_validate(
            {
                "family": config.model_type,
                "shape": {name: sizes.get(name) for name in EncoderDecoderShape.model_fields},
                "vocabulary": sizes["vocabulary"],
                "positions": sizes["positions"],
            }
        )

    @property
    def record(self) -> EncoderDecoderFamily:
        return ENCODER_DECODERS[self.family]

    def count(self, *, head: Head) -> ParameterCount:  # noqa: ARG002 - its words are the table's
        """Parameters; positions are sines, the output's bias is fixed."""
        s, record = self.shape, self.record
        encoder, decoder = _side_sizes(s).values()
        return ParameterCount(
            embeddings=parameters(record.word_tensors(self.sizes)),
            encoder=record.encoder.parameters(s.encoder_layers, encoder),
            decoder=record.decoder.parameters(s.decoder_layers, decoder),
            head=0,
        )

    def tensors(self) -> Shapes:
        """Every tensor that is learnt, as ``save_pretrained`` writes them."""
        shapes, sides = self.record.word_tensors(self.sizes), _side_sizes(self.shape)
        for layer in range(self.shape.encoder_layers):
            shapes |= self.record.encoder.layer_tensors(layer, sides["encoder"])
        for layer in range(self.shape.decoder_layers):
            shapes |= self.record.decoder.layer_tensors(layer, sides["decoder"])
        return shapes

    def copies(self) -> dict[str, str]:
        """Tensors that may be stored a second time, and which they repeat."""
        return self.record.copies(self.sizes)

    def output_bias(self) -> Shapes:
        """It may be stored, and is not learnt."""
        return {self.record.output_bias: (1, self.vocabulary)}

    def sine_tables(self) -> Shapes:
        """The positions, which may be stored, and are not learnt."""
        widths = {side: sizes["hidden"] for side, sizes in _side_sizes(self.shape).items()}
        return {f"{name}.weight": (self.positions, widths[side]) for side, name in self.record.sines.items()}

    @property
    def sines(self) -> int:
        return parameters(self.sine_tables())

    def class_name(self, head: HeadKind | None) -> str | None:  # noqa: ARG002 - there is but one class
        """Of the class that reads such a network; None where transformers' would misread it."""
        return self.record.class_name if self.shape.shares_embeddings else None


def _side_sizes(s: EncoderDecoderShape) -> dict[str, Sizes]:
    """Those of the layers of the encoder, and of the decoder."""
    return {
        side: {"hidden": stack.hidden, "heads": stack.heads, "ffn": stack.ffn, "memory": s.hidden}
        for side, stack in {"encoder": s.encoder, "decoder": s.decoder}.items()
    }
