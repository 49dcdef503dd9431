"""``tfidf`` beside scikit-learn's own on words: ``python -m benchmarks.controls --data ../shared/data``.

Both have pieces or words and their pairs, and the same logistic regression; ours also with a tokenizer made
of the data, as a job without a teacher has it.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from app.domain.architectures import TfidfShape
from app.domain.documents import Target, TrainingSpec
from app.domain.methods import TfidfSpec
from benchmarks.harness import Benchmark, Goal, Row, Value, mean, print_table
from benchmarks.sets import SETS, labels_of, read_rows, read_set
from benchmarks.students import compress, load_minilm
from worker.evaluation.quality import measure as measure_quality
from worker.networks.new_tokenizer import train_tokenizer

TERMS = {"sst2": 100_000, "clinc150": 20_000}
_NEW_WORDS = 8_000


def _behind(rows: Sequence[Row], name: str, variant: str) -> float | None:
    """Points of scikit-learn's accuracy over ours."""
    theirs, ours = (mean(rows, "dev", set=name, variant=which) for which in ("scikit-learn", variant))
    return None if theirs is None or ours is None else theirs - ours


BENCH = Benchmark(
    "controls",
    keys=("set", "variant"),
    goals=[
        Goal(
            f"{name}: {variant} at most 1 point behind scikit-learn's TF-IDF of words",
            partial(_behind, name=name, variant=variant),
            at_most=1.0,
        )
        for name in TERMS
        for variant in ("MiniLM's pieces", "own pieces")
    ],
)


def measure(options: argparse.Namespace) -> None:
    for name in TERMS:
        BENCH.run((name, "scikit-learn"), partial(_scikit_learn, name, options.data))
        for variant in ("MiniLM's pieces", "own pieces"):
            BENCH.run((name, variant), partial(_ours, name, options.data, has_own=variant == "own pieces"))
    print_table(BENCH.rows)


def _scikit_learn(name: str, data: Path) -> Mapping[str, Value]:
    train, dev = (
        read_rows(data / SETS[name].folders[""] / f"{split}.jsonl.gz") for split in ("train", "dev")
    )
    began = time.perf_counter()
    vectors = TfidfVectorizer(ngram_range=(1, 2))
    features = vectors.fit_transform([row["text"] for row in train])
    regression = LogisticRegression(max_iter=1000).fit(features, [row["label"] for row in train])
    answers = regression.predict(vectors.transform([row["text"] for row in dev]))
    right = np.mean(answers == np.array([row["label"] for row in dev]))
    return {"dev": 100 * float(right), "terms": features.shape[1], "wall_s": time.perf_counter() - began}


def _ours(name: str, data: Path, *, has_own: bool) -> Mapping[str, Value]:
    teacher = load_minilm(SETS[name].task, labels_of(SETS[name], data), seed=0)
    if has_own:
        rows = read_rows(data / SETS[name].folders[""] / "train.jsonl.gz")
        tokenizer = train_tokenizer((row["text"] for row in rows), vocabulary=_NEW_WORDS)
        architecture = teacher.architecture.model_copy(update={"vocabulary": tokenizer.get_vocab_size()})
        teacher = replace(teacher, tokenizer=tokenizer, architecture=architecture)
    read = read_set(name, data, teacher)
    target = Target(shape=TfidfShape(terms=TERMS[name]))
    training = TrainingSpec(epochs=1, max_length=SETS[name].max_length)
    began = time.perf_counter()
    student = compress(teacher, read, TfidfSpec(name="tfidf"), training, target=target)
    wall_s = time.perf_counter() - began
    found = measure_quality(student.network, read.dev, read, device=student.network.device)
    return {
        "dev": 100 * found["accuracy"],
        "terms": student.metrics["terms"],
        "inverse_regularisation": student.metrics["inverse_regularisation"],
        "wall_s": wall_s,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    return BENCH.main(measure, parser, selects=["data"])


if __name__ == "__main__":
    sys.exit(main())
