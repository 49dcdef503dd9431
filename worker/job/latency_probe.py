"""How fast a student would be on this host, asked before it is trained: time depends on no weights."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.tasks import Head
from app.engine.threads import threads_per_run
from worker.contracts import TaskData, TokenizedSplit
from worker.evaluation.calm import watching_calm
from worker.evaluation.latency import measure_latency
from worker.export.exports import make_exports, open_export

_SECONDS = 1.0
"""Of running; building and exporting take their own time."""


class LatencyProbe:
    """Milliseconds of one dev text in fp32 ONNX, of networks drawn at random.

    What was measured is kept in a file: an attempt that goes on with a job plans the same student, whatever
    else the host does by then.
    """

    def __init__(
        self, build: Callable[[Architecture, Head], PreTrainedModel], data: TaskData, *, known: Path
    ) -> None:
        """Prepare to measure.

        Args:
            build: makes a network of an architecture.
            data: has the texts.
            known: the file of what was measured; need not exist yet.
        """
        self._build = build
        self._data = data
        self._known = known
        self.reason: str | None = None
        """Why what was measured is too long, if it is: the machine was not calm."""

    def __call__(self, architecture: Architecture, head: Head) -> float:
        name = f"{architecture.model_dump_json()} {head.model_dump_json()}"
        measured: dict[str, float] = json.loads(self._known.read_text()) if self._known.exists() else {}
        if name not in measured:
            measured[name] = self._measure(architecture, head)
            partial = self._known.with_suffix(".partial")
            partial.write_text(json.dumps(measured))
            partial.replace(self._known)
        return measured[name]

    def _measure(self, architecture: Architecture, head: Head) -> float:
        # What is drawn here must not change what the job draws afterwards.
        with tempfile.TemporaryDirectory(dir=self._known.parent) as folder, torch.random.fork_rng(devices=[]):
            network = self._build(architecture, head)
            path = make_exports(network, ["fp32"], Path(folder))["fp32"]
            threads = threads_per_run(architecture, head)
            with watching_calm(threads) as calm:
                latency_ms = measure_latency(
                    open_export(path, network, threads=threads),
                    _within(self._data.dev, architecture.vocabulary),
                    pad_id=self._data.pad_id,
                    batch_sizes=(1,),
                    seconds=_SECONDS,
                )
            self.reason = self.reason or calm.reason
        return latency_ms["1"]


def _within(split: TokenizedSplit, vocabulary: int) -> TokenizedSplit:
    """As many tokens, each of which a smaller vocabulary has: which ones costs no time."""
    targets = None if split.targets is None else _within(split.targets, vocabulary)
    return replace(split, ids=np.minimum(split.ids, vocabulary - 1), targets=targets)
