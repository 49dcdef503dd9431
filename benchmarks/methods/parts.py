"""The claims, each as the students that decide it."""

from collections.abc import Iterator
from typing import Any

from app.domain.architectures import BiLstmShape, EncoderDecoderShape, EncoderShape
from benchmarks.methods.entry import KD, PATIENT, RELATIONS, SMALL_MODEL, Entry, shape_target

GLUE = ("sst2", "cola", "rte", "stsb")
SMALL = EncoderShape(layers=3, hidden=192, heads=6, ffn=768)
QUARTER = EncoderShape(layers=4, hidden=256, heads=8, ffn=1024)
"""With 8,000 words 24 % of MiniLM-L6."""
QUARTER_WORDS = 8000
LOW_RANK = EncoderShape(layers=6, hidden=384, heads=12, ffn=1536, rank=72, embedding=128)
"""As many parameters as the small one, within 0.2 %."""
HALF = EncoderShape(layers=6, hidden=228, heads=12, ffn=912)
"""47.9 % of MiniLM-L6, of its depth and number of heads, as WID's strategy ``dim`` makes them."""
HALF_OF_HEADS = EncoderShape(layers=6, hidden=224, heads=7, ffn=896)
"""46.8 %, as WID makes it by default."""
TENTH = EncoderShape(layers=6, hidden=120, heads=12, ffn=480)
"""With 8,000 words 9.1 % of MiniLM-L6."""
TENTH_WORDS = 8000
SHALLOW = EncoderDecoderShape(encoder_layers=6, decoder_layers=1, hidden=128, heads=4, ffn=256)
NARROW = EncoderDecoderShape(encoder_layers=6, decoder_layers=1, hidden=64, heads=4, ffn=128)
"""Half as wide as its teacher as well: what is copied is not most of what computes."""
LOW_RESOURCE_WORDS = 10_000
TAGGER_WORDS = 12_000
THIRD = 7_571_072
"""Of the parameters of MiniLM-L6 as it comes."""
SENTENCE_WORDS = 8000
FROM_RANDOM_WEIGHTS = {"name": "distillation", "initialisation": "random"}
"""As a control."""
RATE = {"learning_rate": 5e-4}
"""Of a small pretrained model, with a gate and without one."""


def weight_squeezing() -> Iterator[Entry]:
    """Weight squeezing beats distillation and scratch at equal size."""
    kd = {"distillation": KD}
    variants: dict[str, dict[str, Any]] = {
        "scratch": {"name": "scratch"},
        "distillation": {**FROM_RANDOM_WEIGHTS, **kd},
        "weight_selection + KD": {"name": "weight_selection", **kd},
        "weight_copy": {"name": "weight_copy"},
        "weight_copy + KD": {"name": "weight_copy", **kd},
        "weight_squeezing": {"name": "weight_squeezing"},
        "weight_squeezing + KD": {"name": "weight_squeezing", **kd},
    }
    for name in GLUE:
        for variant, method in variants.items():
            yield Entry("weight_squeezing", name, variant, method, shape_target(SMALL))
    squeezed = variants["weight_squeezing + KD"]
    target = shape_target(QUARTER, vocabulary_size=QUARTER_WORDS)
    yield Entry("weight_squeezing", "goemotions", "weight_squeezing + KD", squeezed, target, size="quarter")
    for name in ("sst2", "cola"):
        states = {**FROM_RANDOM_WEIGHTS, "distillation": {**KD, "hidden_weight": 1.0}}
        yield Entry("weight_squeezing", name, "hidden states", states, shape_target(SMALL))
        for kind in ("svd", "fisher"):
            low_rank = {"name": "low_rank", "factorisation": kind}
            yield Entry("weight_squeezing", name, f"low_rank, {kind}", low_rank, shape_target(LOW_RANK))
    selected = {"name": "weight_squeezing", "initial_map": "select", **kd}
    yield Entry("weight_squeezing", "sst2", "weight_squeezing, select + KD", selected, shape_target(SMALL))


def gated() -> Iterator[Entry]:
    """Gated weight squeezing beats plain fine-tuning of the same small pretrained model."""
    gate = {"name": "weight_squeezing", "gate": {"small_model": SMALL_MODEL}}
    for name in GLUE:
        yield Entry("gated", name, "fine_tuning", {"name": "fine_tuning"}, None, RATE, from_small=True)
        yield Entry("gated", name, "gated", gate, shape_target(SMALL), RATE)


def weight_inherited() -> Iterator[Entry]:
    """WID keeps most of the teacher at half and a tenth of its size, and beats other distillation."""
    copied = {"name": "distillation", "initialisation": "weight_copy"}
    narrow_heads = {"name": "weight_inherited", "strategy": "dim"}
    variants: dict[str, dict[str, Any]] = {
        "patient KD": {**copied, "distillation": PATIENT},
        # With the whole weight some of its students answer alike from first to last.
        "patient KD, lighter": {**copied, "distillation": {**PATIENT, "patient_weight": 10.0}},
        "MiniLMv2 + KD": {**copied, "distillation": RELATIONS},
        "weight_inherited": narrow_heads,
        "weight_inherited + KD": {**narrow_heads, "distillation": KD},
    }
    sizes = {
        "half": shape_target(HALF),
        "tenth": shape_target(TENTH, vocabulary_size=TENTH_WORDS),
    }
    for size, target in sizes.items():
        for name in GLUE:
            for variant, method in variants.items():
                yield Entry("weight_inherited", name, variant, method, target, size=size)
        as_it_is = {**narrow_heads, "rotation": "none"}
        yield Entry("weight_inherited", "sst2", "weight_inherited, not turned", as_it_is, target, size=size)
    for name in ("sst2", "cola"):
        heads = {"name": "weight_inherited"}
        target = shape_target(HALF_OF_HEADS)
        yield Entry("weight_inherited", name, "weight_inherited, whole heads", heads, target, size="half")


def pea_kd() -> Iterator[Entry]:
    """Pea-KD beats patient distillation at the same parameters."""
    patient = {"temperature": 10.0, "logits_weight": 0.7, "patient_weight": 100.0}
    for layers in (1, 2, 3):
        target = shape_target(EncoderShape(layers=layers, hidden=384, heads=12, ffn=1536))
        control = {
            "name": "distillation",
            "initialisation": "weight_copy",
            "layer_map": "first",
            "distillation": patient,
        }
        for name in ("sst2", "rte", "cola"):
            rate = {"learning_rate": 1e-4}
            yield Entry("pea_kd", name, "patient KD", control, target, rate, size=f"k={layers}")
            yield Entry("pea_kd", name, "pea_kd", {"name": "pea_kd"}, target, rate, size=f"k={layers}")


def weight_distillation() -> Iterator[Entry]:
    """Weight distillation beats sequence-level distillation at its size, and is faster than the teacher."""
    variants: dict[str, dict[str, Any]] = {
        "weight_distillation": {"name": "weight_distillation"},
        "weight_copy + KD": {"name": "weight_copy", "distillation": KD},
        "sequence KD": FROM_RANDOM_WEIGHTS,
        "weight_squeezing + KD": {"name": "weight_squeezing", "distillation": KD},
        "scratch": {"name": "scratch"},
    }
    for variant, method in variants.items():
        # The teacher's translations double the rows of an epoch.
        training = {"epochs": 20} if variant == "scratch" else {}
        yield Entry("weight_distillation", "multi30k", variant, method, shape_target(SHALLOW), training)
    for variant in ("weight_distillation", "weight_copy + KD", "weight_squeezing + KD"):
        target = shape_target(NARROW)
        yield Entry("weight_distillation", "multi30k", variant, variants[variant], target, size="narrow")


def bilstm() -> Iterator[Entry]:
    """A BiLSTM with transfer text comes close to its teacher where labels are few."""
    target = shape_target(
        BiLstmShape(embedding=100, hidden=88, projection=384), vocabulary_size=LOW_RESOURCE_WORDS
    )
    # As many steps on the thousand labelled rows as the others take on all.
    yield Entry("bilstm", "sst2_500", "scratch", {"name": "scratch"}, target, {"epochs": 882})
    yield Entry("bilstm", "sst2_500", "distillation", FROM_RANDOM_WEIGHTS, target)
    for kind in ("stagewise", "joint"):
        yield Entry("bilstm", "sst2_500", f"bilstm, {kind}", {"name": "bilstm", "training": kind}, target)


def xtreme() -> Iterator[Entry]:
    """One BiLSTM keeps most of its teacher's F1 over several languages; stages beat joint training."""
    target = shape_target(BiLstmShape(embedding=50, hidden=200, projection=384), vocabulary_size=TAGGER_WORDS)
    yield Entry("xtreme", "ner4", "scratch", {"name": "scratch"}, target)
    for kind in ("stagewise", "joint"):
        yield Entry("xtreme", "ner4", f"bilstm, {kind}", {"name": "bilstm", "training": kind}, target)


def question_answering() -> Iterator[Entry]:
    """Squeezing and WID find most of the answers that their teacher finds, at half its size."""
    kd = {"distillation": KD}
    variants: dict[str, dict[str, Any]] = {
        "weight_inherited + KD": {"name": "weight_inherited", **kd},
        "weight_squeezing + KD": {"name": "weight_squeezing", **kd},
        "distillation": {**FROM_RANDOM_WEIGHTS, **kd},
        "scratch": {"name": "scratch"},
        "weight_copy + KD": {"name": "weight_copy", **kd},
        "weight_inherited": {"name": "weight_inherited"},
        "weight_squeezing": {"name": "weight_squeezing"},
    }
    for name in ("subjqa_short", "subjqa"):
        for variant, method in variants.items():
            target = shape_target(HALF_OF_HEADS)
            yield Entry("question_answering", name, variant, method, target, size="half")


def widths_of_heads() -> Iterator[Entry]:
    """WID is level with squeezing on sentence pairs, where it drops whole heads, and loses nothing by it."""
    variants: dict[str, dict[str, Any]] = {
        "weight_inherited, whole heads": {"name": "weight_inherited"},
        "weight_inherited, narrow heads": {"name": "weight_inherited", "strategy": "dim"},
    }
    controls = {"weight_squeezing": {"name": "weight_squeezing"}, "weight_copy": {"name": "weight_copy"}}
    quarter = {"compression_ratio": 4}
    for variant, method in (controls | variants).items():
        yield Entry("widths_of_heads", "stsb_pairs", variant, method, quarter)
    for variant, method in variants.items():
        yield Entry("widths_of_heads", "cola", variant, method, quarter, {"epochs": 4})


def embeddings() -> Iterator[Entry]:
    """Squeezing keeps MiniLM's space of sentences, as it comes, at a third of its parameters."""
    variants: dict[str, dict[str, Any]] = {
        "weight_squeezing": {"name": "weight_squeezing"},
        "weight_copy": {"name": "weight_copy"},
        "distillation": FROM_RANDOM_WEIGHTS,
        "weight_inherited": {"name": "weight_inherited"},
    }
    target = {"max_parameters": THIRD, "vocabulary_size": SENTENCE_WORDS}
    for variant, method in variants.items():
        yield Entry("embeddings", "sentences", variant, method, target)
    # A table has no layers to train: an epoch takes seconds.
    table = {"shape": {"dimensions": 384}, "vocabulary_size": SENTENCE_WORDS}
    static = {"name": "static_embedding"}
    yield Entry("embeddings", "sentences", "static_embedding", static, table, {"epochs": 10})


PARTS = {
    "weight_distillation": weight_distillation,
    "bilstm": bilstm,
    "xtreme": xtreme,
    "weight_squeezing": weight_squeezing,
    "gated": gated,
    "weight_inherited": weight_inherited,
    "pea_kd": pea_kd,
    "question_answering": question_answering,
    "embeddings": embeddings,
    "widths_of_heads": widths_of_heads,
}
