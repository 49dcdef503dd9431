"""``client.models``."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx

from squeeze_client.archives import Progress
from squeeze_client.conversion import prepared, saved
from squeeze_client.effects import Close, Items, M, Next, Open, Sleep, Steps, listing, operation
from squeeze_client.errors import NotUploadable, SqueezeError, WaitTimeout
from squeeze_client.operations import call
from squeeze_client.resources import Resource, id_of, pages
from squeeze_client.responses import Model
from squeeze_client.sending import once, open_stream, send, unreached
from squeeze_client.uploads import Content, upload

_POLL_S = 0.5

OutputNames = Sequence[str] | Mapping[str, str]


class Models(Resource[M]):
    """Teachers and students."""

    @operation
    def push(
        self,
        source: Any,
        *,
        name: str | None = None,
        tokenizer: Any = None,
        labels: OutputNames | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
    ) -> Steps[Model]:
        """Upload a model.

        Args:
            source: a folder (``save_pretrained``), an archive of one, or a live ``transformers`` model.
                ``pytorch_model.bin`` is converted first, here.
            name: in lists; default: the folder's or file's.
            tokenizer: of a live model.
            labels: names of the head's outputs, in place of those in ``config.json``.
            wait: until a large model, which the service reads in the background, is ready.
            timeout_s: for that; default: as long as it takes.
            on_progress: is told how many bytes were sent, and of how many.

        Raises:
            NotUploadable: it is no model.
            MissingExtra: it must be converted, and ``squeeze-client[convert]`` is not installed.
            ApiError: the service does not take it.
        """
        if isinstance(source, str | Path):
            path = Path(source).expanduser()
            if path.is_file():
                chosen = name or path.name.partition(".")[0]
                model = yield from _upload(chosen, Content.of_file(path), labels, on_progress)
                return (yield from _ready(model, timeout_s)) if wait else model
            if not path.is_dir():
                raise NotUploadable(f"{path}: there is no such file or folder.")
            chosen = name or path.resolve().name
            folder: AbstractContextManager[dict[str, Path]] = prepared(path)
        else:
            chosen = name or type(source).__name__
            folder = saved(source, tokenizer)
        with folder as files:
            content = Content.of_folder("model", files)
            model = yield from _upload(chosen, content, labels, on_progress)
        return (yield from _ready(model, timeout_s)) if wait else model

    @operation
    def pull(
        self,
        repository: str,
        *,
        revision: str = "main",
        name: str | None = None,
        labels: OutputNames | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Steps[Model]:
        """Have the service download a model from its hub, such as ``google-bert/bert-base-uncased``."""
        body: dict[str, Any] = {
            "name": name or repository.rpartition("/")[2],
            "source": {"hub": repository, "revision": revision},
        }
        if labels is not None:
            body["labels"] = labels
        answer = yield from send(once(call("createModel", json=body, timeout_s=600)))
        model = Model.model_validate(answer.json())
        return (yield from _ready(model, timeout_s)) if wait else model

    @listing
    def list(self, *, limit: int | None = None) -> Items[Model]:
        """Models, newest first."""
        return pages("listModels", Model.model_validate, limit=limit)

    @operation
    def get(self, model: str | Model) -> Steps[Model]:
        """A model."""
        return _get(id_of(model))

    @operation
    def delete(self, model: str | Model) -> Steps[None]:
        """Delete a model and its files."""
        yield from send(call("deleteModel", {"model_id": id_of(model)}))

    @operation
    def release(self, model: str | Model, *, reason: str) -> Steps[Model]:
        """Serve a student though it missed its gate; the call and its reason are logged."""
        request = call("releaseModel", {"model_id": id_of(model)}, json={"reason": reason})
        answer = yield from send(request)
        return Model.model_validate(answer.json())

    @operation
    def download(
        self, model: str | Model, folder: str | Path, *, on_progress: Progress | None = None
    ) -> Steps[Path]:
        """Download a model's files into a folder, which is made; files that are there already stay.

        Raises:
            ConnectionFailed: it broke off; the same call goes on with the files that are missing.
        """
        found = yield from _get(id_of(model))
        target = Path(folder)
        total, done = sum(found.files.values()), 0
        for name, size in found.files.items():
            path = target / name
            if target.resolve() not in path.resolve().parents:
                raise SqueezeError(f"The service names a file outside of the folder: {name!r}.")
            if path.is_file() and path.stat().st_size == size:
                done += size
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            request = call("downloadArtifact", {"model_id": found.id, "name": name})
            opened = yield from open_stream(Open(request, "bytes"))
            part = path.with_name(path.name + ".part")
            try:
                with part.open("wb") as file:
                    while (chunk := (yield Next(opened))) is not None:
                        file.write(chunk)
                        done += len(chunk)
                        if on_progress is not None:
                            on_progress(done, total)
            except httpx.TransportError as error:
                raise unreached(request, error) from error
            yield Close(opened)
            part.replace(path)
        return target


def _get(model_id: str) -> Steps[Model]:
    answer = yield from send(call("getModel", {"model_id": model_id}))
    return Model.model_validate(answer.json())


def _upload(
    name: str, content: Content, labels: OutputNames | None, progress: Progress | None
) -> Steps[Model]:
    form = {"name": name}
    if labels is not None:
        form["labels"] = json.dumps(labels)

    def refer(ids: dict[str, str]) -> dict[str, Any]:
        body: dict[str, Any] = {"name": name, "source": {"upload": ids["file"]}}
        if labels is not None:
            body["labels"] = labels
        return {"json": body, "form": None, "files": None}

    answer = yield from upload("createModel", form, {"file": content}, refer=refer, progress=progress)
    return Model.model_validate(answer.json())


def _ready(model: Model, timeout_s: float | None) -> Steps[Model]:
    """The model once it was read."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while model.status == "processing":
        if deadline is not None and time.monotonic() > deadline:
            raise WaitTimeout(f"Model {model.id} is still being read.")
        yield Sleep(_POLL_S)
        model = yield from _get(model.id)
    if model.status == "failed":
        failure = model.error
        raise SqueezeError(f"Model {model.id} could not be read: {failure.message if failure else '?'}")
    return model
