from typing import ClassVar, Literal

from pydantic import Field

from app.domain.methods.card import MethodCard
from app.domain.methods.spec import Spec, StudentKind
from app.domain.tasks import tasks_of


class StaticEmbeddingSpec(Spec):
    """Gives each token a vector of the teacher, weighted by frequency, and trains these vectors alone."""

    name: Literal["static_embedding"]
    weighting: Literal["sif", "zipf", "none"] = Field(
        default="sif",
        description="Weights of tokens in a text's mean before training: a / (a + p) with p a token's share "
        "of the data set (sif), or that of its place in the vocabulary by Zipf's law (zipf); none: alike.",
    )
    sif_coefficient: float = Field(
        default=1e-3, gt=0, le=1, description="The a of sif and zipf: smaller weighs frequent tokens less."
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Static embeddings",
        papers=["https://openreview.net/forum?id=SyK00v5xx", "https://github.com/MinishLab/model2vec"],
        when="For vectors at the cost of looking rows up, and as a control for students with layers. The "
        "order of words is lost, so that similarities of sentences suffer.",
        tasks=tasks_of("static"),
        targets=["compression_ratio", "max_parameters", "max_size_mb", "shape"],
        embedding_options=["vocabulary_size"],
        data="train and dev splits of texts; unlabeled texts are used as well, if present",
    )
    students: ClassVar[tuple[StudentKind, ...]] = ("static",)
    reads_weights: ClassVar[bool] = False
    learns_from_outputs: ClassVar[bool] = True
