"""The client against the real service."""

import asyncio
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx
import pytest
from squeeze_client import (
    AsyncSqueeze,
    Dataset,
    InvalidRequest,
    Job,
    JobFailed,
    Model,
    NotFound,
    NotUploadable,
    Squeeze,
    WaitTimeout,
    events,
    uploads,
)
from squeeze_client.archives import FolderArchive, model_files
from squeeze_client.effects import Sync

from tests.client.conftest import TRAINING


def test_a_folder_is_sent_with_progress(client: Squeeze, model_folder: Path):
    seen: list[tuple[int, int]] = []
    model = client.models.push(model_folder, on_progress=lambda done, total: seen.append((done, total)))
    assert (model.name, model.status, model.task) == ("tiny", "ready", "text_classification")
    total = FolderArchive(model_files(model_folder)).length
    assert seen[-1] == (total, total)
    client.models.delete(model)
    with pytest.raises(NotFound) as raised:
        client.models.get(model)
    assert raised.value.request_id


def test_a_large_file_goes_in_parts_and_resumes(
    client: Squeeze, model_folder: Path, teacher: Model, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(uploads, "IN_PARTS_ABOVE", 0)
    monkeypatch.setattr(uploads, "PART_BYTES", 40_000)
    parts: list[int] = []

    def break_off(request: httpx.Request) -> None:
        if request.method == "PATCH":
            parts.append(int(request.headers["upload-offset"]))
            if len(parts) == 2:
                raise httpx.WriteError("broken")

    monkeypatch.setitem(client.http.event_hooks, "request", [break_off])
    model = client.models.push(model_folder)
    assert model.sha256 == teacher.sha256
    assert parts[:3] == [0, 40_000, 40_000], "the part that broke off was sent again"


def test_a_live_model(client: Squeeze, model_folder: Path, teacher: Model):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    live = AutoModelForSequenceClassification.from_pretrained(model_folder)
    with pytest.raises(NotUploadable, match="tokenizer="):
        client.models.push(live)
    model = client.models.push(live, tokenizer=AutoTokenizer.from_pretrained(model_folder), name="live")
    assert (model.name, model.labels) == ("live", teacher.labels)


@pytest.mark.parametrize("shards", [1, 2])
def test_pickles_are_converted_here(
    client: Squeeze, model_folder: Path, teacher: Model, tmp_path: Path, shards: int
):
    import json
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(model_folder, tmp_path / "old")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        index = {name: f"pytorch_model-{number % 2}.bin" for number, name in enumerate(weights)}
        for shard in sorted(set(index.values())):
            torch.save({name: weights[name] for name in index if index[name] == shard}, folder / shard)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    assert client.models.push(folder).parameters == teacher.parameters


def test_a_pickle_that_runs_code_is_not_loaded(client: Squeeze, model_folder: Path, tmp_path: Path):
    import pickle
    import shutil

    folder = shutil.copytree(model_folder, tmp_path / "old")
    (folder / "model.safetensors").unlink()

    class Harm:
        def __reduce__(self):
            return (Path(tmp_path / "harm").touch, ())

    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Harm()}, file, protocol=2)
    with pytest.raises(NotUploadable, match="save_pretrained"):
        client.models.push(folder)
    assert not (tmp_path / "harm").exists()


def test_tables_of_all_kinds(client: Squeeze, data_files: dict[str, Path], dataset: Dataset, tmp_path: Path):
    import pandas as pd

    frames = {split: pd.read_json(path, lines=True) for split, path in data_files.items()}
    rows = {split: frame.to_dict("records") for split, frame in frames.items()}
    given = [
        (frames["train"], {"dev": frames["dev"]}),
        (rows["train"], {"dev": rows["dev"]}),
        ({"train": rows["train"], "validation": rows["dev"]}, {}),
        (next(iter(data_files.values())).parent, {}),
    ]
    for train, more in given:
        check = client.data.check(train, **more)
        assert {split: check.splits[split].rows for split in ("train", "dev")} == {
            split: dataset.splits[split].rows for split in ("train", "dev")
        }
        assert check.labels == dataset.labels
    with pytest.raises(NotUploadable, match="pandas DataFrame"):
        client.data.check(train=3)
    with pytest.raises(InvalidRequest) as raised:
        client.data.push(rows["train"], dev=rows["dev"], columns={"text": "nothing"})
    assert raised.value.detail


def test_a_job(client: Squeeze, job: Job[Sync], teacher: Model):
    assert (job.status, job.progress.fraction) == ("succeeded", 1.0)
    assert job.student is not None
    student = client.models.get(job.student)
    assert (student.lineage.teacher, student.lineage.job) == (teacher.id, job.id)
    found = list(job.events())
    assert [event.id for event in found] == list(range(1, len(found) + 1))
    assert {"status", "metrics"} <= {event.kind for event in found}
    assert [event.id for event in job.events(after=2)] == [event.id for event in found[2:]]
    assert list(client.jobs.events(job, follow=False)) == found
    assert job.id in [listed.id for listed in client.jobs.list(status="succeeded")]


def test_events_come_by_pages_where_streams_do_not(
    client: Squeeze, job: Job[Sync], monkeypatch: pytest.MonkeyPatch
):
    def refuse(request: httpx.Request) -> None:
        if request.url.path.endswith("/stream"):
            raise httpx.ReadError("no streams here")

    monkeypatch.setattr("squeeze_client.effects.time.sleep", lambda seconds: None)
    expected = list(job.events())
    monkeypatch.setitem(client.http.event_hooks, "request", [refuse])
    monkeypatch.setattr(events, "MAX_RETRIES", 0)
    assert list(job.events()) == expected


def test_predictions_are_plain_lists(client: Squeeze, job: Job[Sync]):
    one, _ = client.predict(job.student or "", ["a wonderful film", "a dull story"], top_k=1)
    assert one[0].keys() == {"label", "score"}
    assert len(client.predict(job.student or "", "a wonderful film")) == 1


def test_a_report(client: Squeeze, job: Job[Sync], capsys: pytest.CaptureFixture[str]):
    report = job.report()
    report.show()
    assert report.job == job.id
    assert job.method["name"] in capsys.readouterr().out
    assert client.jobs.report_text(job, "html").startswith("<!")


def test_a_download(client: Squeeze, job: Job[Sync], tmp_path: Path):
    folder = client.models.download(job.student or "", tmp_path / "student")
    assert (folder / "config.json").is_file()
    assert not list(folder.rglob("*.part"))


def test_a_cancelled_job(client: Squeeze, teacher: Model, dataset: Dataset):
    job = client.jobs.create(
        dataset,
        teacher=teacher,
        method="fine_tuning",
        training={**TRAINING, "epochs": 1000},
        controls=False,
    )
    with pytest.raises(WaitTimeout, match="goes on"):
        job.wait(timeout_s=0.1)
    job.cancel()
    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=60)
    assert raised.value.job.status == "cancelled"


def test_an_endpoint(client: Squeeze, job: Job[Sync]):
    endpoint = client.endpoints.set("sentiment", job.student or "")
    assert client.endpoints.get("sentiment") == endpoint
    assert client.predict("sentiment", "wonderful")
    client.endpoints.delete("sentiment")
    assert endpoint.id not in [other.id for other in client.endpoints.list()]


def test_the_same_awaited(url: str, job: Job[Sync], dataset: Dataset):
    async def use() -> None:
        async with AsyncSqueeze(url) as client:
            found, events = await client.jobs.get(job.id), client.jobs.events(job.id)
            assert (await found.wait()).student == job.student
            assert [event.id async for event in events] == [event.id for event in job.events()]
            assert dataset.id in [listed.id async for listed in client.data.list()]
            assert len((await asyncio.gather(client.predict(job.student or "", ["one", "two"])))[0]) == 2

    asyncio.run(use())


def test_an_archive_is_what_tar_reads_from_any_place(tmp_path: Path):
    files = {}
    for name, size in (("a", 0), ("b", 511), ("deep/" + "c" * 150, 5000)):
        files[name] = tmp_path / name.replace("/", "-")[:50]
        files[name].write_bytes(bytes(range(256)) * 20 if size > 600 else bytes(size))
    archive = FolderArchive(files)
    whole = archive.read()
    assert len(whole) == archive.length
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert {member.name: tar.extractfile(member).read() for member in tar} == {  # type: ignore[union-attr]
            name: path.read_bytes() for name, path in files.items()
        }
    for offset in (0, 1, 511, 513, 3000, archive.length - 1):
        archive.seek(offset)
        assert archive.read(700) == whole[offset : offset + 700]


def test_it_needs_neither_the_server_nor_torch():
    heavy = ("app", "torch", "numpy", "typer", "transformers", "pandas")
    code = f"import sys, squeeze_client; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
