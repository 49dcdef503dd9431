"""Whatever a released version has stored is read by today's code.

``stored/<document>-v<version>.json`` holds documents as code of that version wrote them. A new version brings
a file of its own, and the files of the earlier ones stay as they are.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from app.domain import documents
from app.domain.documents import JobSpec
from app.domain.documents.events import read_event
from app.domain.documents.manifest import ModelManifest
from app.domain.documents.plan import Plan
from app.domain.documents.versions import StoredDocument
from app.domain.errors import Unreadable

STORED = Path(__file__).with_name("stored")
TEACHER, DATASET = "mdl_" + "0" * 26, "dst_" + "0" * 26

for module in iter_modules(documents.__path__):
    import_module(f"{documents.__name__}.{module.name}")


def kinds_of(base: type[StoredDocument]) -> Iterator[type[StoredDocument]]:
    for kind in base.__subclasses__():
        if "document_name" in vars(kind):
            yield kind
        else:
            yield from kinds_of(kind)


KINDS = sorted(kinds_of(StoredDocument), key=lambda kind: kind.document_name)
VERSIONS = [(kind, version) for kind in KINDS for version in range(1, kind.newest_version() + 1)]


def examples(kind: type[StoredDocument], version: int) -> list[dict[str, Any]]:
    name = kind.document_name.replace(" ", "_")
    documents: list[dict[str, Any]] = json.loads((STORED / f"{name}-v{version}.json").read_text())
    return documents


@pytest.mark.parametrize(("kind", "version"), VERSIONS, ids=lambda value: getattr(value, "__name__", value))
def test_every_version_is_read(kind, version):
    """An earlier form says the same as the newest, in which it is written again."""
    found = [kind.from_stored(document, owner="it") for document in examples(kind, version)]
    assert found
    again = [document.to_stored() for document in found]
    assert {document["version"] for document in again} == {kind.newest_version()}
    if version < kind.newest_version():
        newest = examples(kind, kind.newest_version())
        assert found == [kind.from_stored(document, owner="it") for document in newest]
    assert [kind.from_stored(document, owner="it") for document in again] == found


def test_each_stored_file_is_of_a_version():
    names = {f"{kind.document_name.replace(' ', '_')}-v{version}.json" for kind, version in VERSIONS}
    assert names == {path.name for path in STORED.iterdir()}


def test_an_upgrade_changes_no_document():
    for kind in KINDS:
        for document in examples(kind, 1):
            before = json.dumps(document)
            kind.from_stored(document, owner="it")
            assert json.dumps(document) == before


class TestUpgrades:
    def test_the_sizes_of_a_target(self):
        stored = {"teacher": TEACHER, "dataset": DATASET, "method": {"name": "weight_copy"}}
        stored["target"] = {"compression_ratio": 2, "vocabulary": 8000, "embedding": 64}
        target = JobSpec.from_stored(stored, owner="job_1").target
        assert (target.vocabulary_size, target.embedding_size) == (8000, 64)

    def test_a_model_s_architecture(self):
        [marian] = [
            manifest.architecture
            for manifest in (
                ModelManifest.from_stored(stored, owner="mdl_1") for stored in examples(ModelManifest, 1)
            )
            if manifest.task == "translation"
        ]
        assert marian.family == "marian"


class TestUnreadable:
    def refusal(self, kind: type[StoredDocument], stored: object) -> str:
        with pytest.raises(Unreadable) as caught:
            kind.from_stored(stored, owner="job_1")
        assert caught.value.code == "unreadable_row"
        assert caught.value.details == {"id": "job_1"}
        return caught.value.message

    def test_of_a_later_version(self):
        document = examples(Plan, 1)[0] | {"version": 99}
        assert "of version 99, this server supports up to 1" in self.refusal(Plan, document)

    @pytest.mark.parametrize("stored", [None, [], "spec", 1])
    def test_no_object(self, stored):
        assert "not a JSON object" in self.refusal(JobSpec, stored)

    @pytest.mark.parametrize("version", [0, -1, "2", None, True, 1.0])
    def test_no_version(self, version):
        assert "is not a version" in self.refusal(JobSpec, {"version": version})

    @pytest.mark.parametrize("stored", [{}, {"card": 1}, {"card": {}}, {"card": [1]}])
    def test_what_no_upgrade_understands(self, stored):
        assert "model manifest of job_1 cannot be read" in self.refusal(ModelManifest, stored)

    def test_a_member_that_is_missing(self):
        assert "dataset: Field required" in self.refusal(JobSpec, {"method": {"name": "scratch"}})

    def test_an_event_of_an_unknown_kind(self):
        with pytest.raises(Unreadable, match="'artifact'"):
            read_event("artifact", {}, owner="event 1 of job_1")
