"""Local copies of stored model files, each checked against its manifest."""

import shutil
from pathlib import Path
from uuid import uuid4

from app.core.errors import Unavailable
from app.core.manifest import FileEntry, ModelManifest
from app.core.storage import Storage


class ModelFiles:
    """A folder of copies, by the digest of the model; it may be emptied at any time."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        self._folder = folder

    def fetch(self, manifest: ModelManifest, name: str) -> Path:
        """One file of a model, copied on first use.

        Raises:
            NotFound: the store has no such file.
            Unavailable: the stored file is not the one that was registered.
        """
        expected = manifest.files.entries[name]
        path = self._folder / manifest.files.digest / name
        if path.exists() and FileEntry.of(path) == expected:
            return path
        # Under a name of its own until it is whole: other processes share this folder.
        partial = path.with_name(f"{name}.{uuid4().hex}")
        try:
            self._storage.fetch(f"{manifest.files.prefix}/{name}", partial)
            found = FileEntry.of(partial)
            if found != expected:
                raise Unavailable(
                    "model_file_damaged",
                    f"The stored {name} has sha256 {found.sha256}, not {expected.sha256}. Restore the "
                    "file, or register the model again.",
                    name=name,
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def drop(self, manifest: ModelManifest) -> None:
        shutil.rmtree(self._folder / manifest.files.digest, ignore_errors=True)
