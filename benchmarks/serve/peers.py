"""Other servers of the same ONNX file, each in an environment of its own, with batching on."""

import json
import os
import signal
import subprocess
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from app.embedded import free_port, running
from benchmarks.closed_loop import post
from benchmarks.harness import say
from benchmarks.predict import WORK as MODELS

APPS: Final = Path(__file__).parent.parent / "peers" / "serving"
WORK: Final = MODELS.parent / "serve"
_SHARED: Final = ("onnxruntime", "tokenizers", "numpy")
_START_S: Final = 60.0


@dataclass(frozen=True)
class Peer:
    """A server of another project."""

    name: str
    package: str

    @property
    def _folder(self) -> Path:
        return WORK / "environments" / self.package

    def install(self) -> bool:
        """Make its environment, if it is not there; whether it installs here."""
        if (self._folder / "installed").exists():
            return True
        say(f"installing {self.name}")
        venv.create(self._folder, with_pip=True, clear=True)
        command = [self._program("pip"), "install", "-q", self.package, *_SHARED]
        if subprocess.run(command, check=False).returncode != 0:
            say(f"{self.name} does not install here")
            return False
        (self._folder / "installed").touch()
        return True

    @contextmanager
    def serving(self, model: str, precision: str) -> Iterator[int]:
        """Its port, once it answers."""
        port = free_port()
        environment = {
            **os.environ,
            "PEER_MODEL": str((MODELS / model / f"model.{precision}.onnx").resolve()),
            "PEER_TOKENIZER": str((MODELS / model / "tokenizer.json").resolve()),
            "PYTHONPATH": str(APPS.resolve()),
            "PATH": f"{self._folder.absolute()}/bin:{os.environ['PATH']}",
        }
        log = WORK / f"{self.package}.log"
        with running(self._command(port), environment=environment, log=log) as process:
            try:
                self._wait_until_ready(process, port, log)
                yield port
            finally:
                # LitServe's processes outlive the one that started them.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        deadline = time.monotonic() + _START_S
        while not self._answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start; see {log}")
            time.sleep(0.2)

    def request(self, text: str) -> bytes:
        """A request for the label of a text, as its clients send it."""
        path, body = self._asked(text)
        return post("127.0.0.1", path, json.dumps(body).encode())

    def version(self) -> str:
        code = f"from importlib.metadata import version; print(version({self.package!r}))"
        done = subprocess.run(
            [self._program("python"), "-c", code], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def _program(self, name: str) -> str:
        return str((self._folder / "bin" / name).absolute())

    def _answers(self, port: int) -> bool:
        path, body = self._asked("a film")
        try:
            return httpx.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=10).is_success
        except httpx.TransportError:
            return False

    def _asked(self, text: str) -> tuple[str, object]:
        match self.package:
            case "litserve":
                return "/predict", {"text": text}
            case "bentoml":
                return "/classify", {"texts": [text]}
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
        return "/v2/models/classifier/infer", {"inputs": [tensor]}

    def _command(self, port: int) -> Sequence[str]:
        match self.package:
            case "litserve":
                return [self._program("python"), str(APPS.resolve() / "litserve_app.py"), str(port)]
            case "bentoml":
                served = ["bentoml_app:Classifier", "--working-dir", str(APPS.resolve())]
                return [
                    self._program("bentoml"),
                    "serve",
                    *served,
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(port),
                ]
        folder = WORK / "mlserver"
        folder.mkdir(parents=True, exist_ok=True)
        ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
        settings = {**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
        model = {
            "name": "classifier",
            "implementation": "mlserver_app.Classifier",
            "max_batch_size": 32,
            "max_batch_time": 0.002,
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [self._program("mlserver"), "start", str(folder.resolve())]


PEERS: Final = (Peer("LitServe", "litserve"), Peer("BentoML", "bentoml"), Peer("MLServer", "mlserver"))
