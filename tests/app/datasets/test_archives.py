"""Data sets as archives: what ``datasets.save_to_disk`` writes, and folders with a table a split."""

import io
import json
import tarfile
import zipfile

import pyarrow as pa
import pytest

from tests.app.conftest import Api
from tests.app.datasets.preparing import read, refused
from tests.app.datasets.uploads import post

CSV = b"text,label\nx,pos\ny,neg\n"
CLASSES = {"names": ["neg", "pos"], "_type": "ClassLabel"}


def zipped(**files: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return "set.zip", buffer.getvalue()


def tarred(**files: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return "set.tar.gz", buffer.getvalue()


def arrow(texts: list[str], labels: list[int], *, footer: bool = False, **options) -> bytes:
    table = pa.table({"text": texts, "label": pa.array(labels, pa.int64()), "id": list(range(len(texts)))})
    buffer = io.BytesIO()
    new = pa.ipc.new_file if footer else pa.ipc.new_stream
    with new(buffer, table.schema, **options) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def saved(folder: str, *shards: bytes) -> dict[str, bytes]:
    """As ``save_to_disk`` of version 5 lays out a split."""
    names = [f"data-{i:05d}-of-{len(shards):05d}.arrow" for i in range(len(shards))]
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    info = {"features": {"label": CLASSES, "text": {"dtype": "string", "_type": "Value"}}}
    return {
        **{f"{folder}/{name}": shard for name, shard in zip(names, shards, strict=True)},
        f"{folder}/state.json": json.dumps(state).encode(),
        f"{folder}/dataset_info.json": json.dumps(info).encode(),
    }


TRAIN = (arrow(["x", "y"], [1, 0]), arrow(["z"], [1]))
FOLDER = {
    "set/dataset_dict.json": json.dumps({"splits": ["train", "validation", "test"]}).encode(),
    **saved("set/train", *TRAIN),
    **saved("set/validation", arrow(["v"], [0])),
    **saved("set/test", arrow(["w"], [-1])),
}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_saved_data_set_has_all_splits(pack):
    archive = pack(**FOLDER)
    found = read(archive, archive)
    assert found.stored["train"] == {"text": ["x", "y", "z"], "label": ["pos", "neg", "pos"]}
    assert found.stored["dev"] == {"text": ["v"], "label": ["neg"]}
    assert "test" not in found.prepared.splits
    assert found.stored.keys() == {"train", "dev"}
    [warning] = found.reading.warnings
    assert warning.startswith(
        "The archive's split was left out: test has no rows but those that were left out"
    )
    assert found.train.file == "set/train/data-00000-of-00002.arrow"
    assert found.train.options["files"] == "2"


def test_one_file_for_all_splits(api: Api):
    response = post(api, train=zipped(**FOLDER))
    assert response.status_code == 201, response.json()
    assert {name: split["rows"] for name, split in response.json()["splits"].items()} == {
        "train": 3,
        "dev": 1,
    }
    response = post(api, train=zipped(**{"train.csv": CSV}))
    assert (response.status_code, response.json()["type"]) == (422, "urn:squeeze:problem:missing_split")
    assert response.json()["errors"][0]["pointer"] == "#/dev"


def test_a_single_saved_split():
    found = read(zipped(**saved("mine", *TRAIN)), ("d.csv", CSV))
    assert found.rows["text"] == ["x", "y", "z"]


@pytest.mark.parametrize("footer", [True, False])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_arrow_files(footer, compression):
    options = pa.ipc.IpcWriteOptions(compression=compression)
    content = arrow(["x", "y"], [1, 0], footer=footer, options=options)
    assert read(("t.arrow", content)).rows == {"text": ["x", "y"], "label": ["1", "0"]}
    assert refused(("t.arrow", content[: len(content) // 2])).code == "invalid_arrow"
    assert (
        "no column 'body'; the columns are" in refused(("t.arrow", content), columns={"text": "body"}).message
    )


def test_offsets_that_lead_out_of_a_file():
    good = arrow(["xx", "yy"], [1, 0])
    at = good.index((0).to_bytes(4, "little") + (2).to_bytes(4, "little") + (4).to_bytes(4, "little"))
    bad = good[: at + 4] + (2**30).to_bytes(4, "little") + good[at + 8 :]
    assert refused(("t.arrow", bad)).code == "invalid_arrow"


def test_tables_by_the_names_of_splits():
    files = {
        "d/data/train-00000-of-00002.csv": CSV,
        "d/data/train-00001-of-00002.csv": CSV.replace(b"x,", b"u,"),
        "d/data/validation.csv": CSV,
        "d/README.md": b"not a table",
        "d/._train.csv": b"of a Mac",
    }
    archive = zipped(**files)
    found = read(archive, archive)
    assert found.rows["text"] == ["x", "y", "u", "y"]
    assert found.stored["dev"]["text"] == ["x", "y"]
    files["d/data/train-00001-of-00002.csv"] = b"text,label\nx,a\ny\n"
    fault = refused(zipped(**files), ("d.csv", CSV))
    assert fault.message.startswith("train, d/data/train-00001-of-00002.csv, line 3: 1 cells")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.csv": CSV, "b.csv": CSV}, "its name is in none of 'a.csv', 'b.csv'"),
        ({"train.csv": CSV, "train.jsonl": b"{}"}, "tables of several formats"),
        ({"en/train.csv": CSV, "de/train.csv": CSV}, "tables for one split in several places: 'de', 'en'"),
        ({"dataset_dict.json": b'{"splits": ["a", "b"]}'}, "its name is in none of 'a', 'b'"),
        ({"a/dataset_dict.json": b"{}", "b/dataset_dict.json": b"{}"}, "data sets for one split in several"),
        ({"readme.md": b"x"}, "holds no table"),
        ({"../train.csv": CSV}, "points outside the folder"),
        ({"dataset_dict.json": b"["}, "holds no table"),
        (
            {"dataset_dict.json": b'{"splits": ["train"]}', "train/state.json": b'{"_data_files": 3}'},
            "holds no table",
        ),
    ],
)
def test_archives_that_do_not_tell(files, says):
    assert says in refused(zipped(**files), ("d.csv", CSV)).message
