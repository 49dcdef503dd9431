"""Local copies of stored model files, each checked against its manifest."""

import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from app.core.storage import Storage
from app.domain.documents.manifest import FileEntry, Files
from app.domain.errors import Unavailable


class ModelFiles:
    """A folder of copies, by project and the digest of the model; it may be emptied at any time.

    Args:
        storage: where models are.
        folder: where copies go; several processes may share it.
        keep: how many models' copies stay, the last ones used.
    """

    def __init__(self, storage: Storage, folder: Path, *, keep: int) -> None:
        self._storage = storage
        self._folder = folder
        self._keep = keep

    def fetch(self, project_id: str, files: Files, name: str) -> Path:
        """One file of a project's model, copied on first use.

        Raises:
            NotFound: the store has no such file.
            Unavailable: the stored file is not the one that was registered.
        """
        expected = files.entries[name]
        path = self._place(project_id, files) / name
        if path.exists() and FileEntry.of(path) == expected:
            path.parent.touch()
            return path
        # Under a name of its own until it is whole: other processes share this folder.
        partial = path.with_name(f"{name}.{uuid4().hex}")
        try:
            self._storage.fetch(f"{files.prefix}/{name}", partial)
            found = FileEntry.of(partial)
            if found != expected:
                raise Unavailable(
                    "model_file_corrupted",
                    f"The stored file {name} has sha256 {found.sha256}, expected {expected.sha256}. Restore "
                    "the file or register the model again.",
                    name=name,
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._trim()
        return path

    def drop(self, project_id: str, files: Files) -> None:
        shutil.rmtree(self._place(project_id, files), ignore_errors=True)

    def _place(self, project_id: str, files: Files) -> Path:
        return self._folder / f"{project_id}-{files.digest}"

    def _trim(self) -> None:
        with suppress(FileNotFoundError):  # another process was quicker
            oldest_first = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in oldest_first[: -self._keep]:
                shutil.rmtree(path, ignore_errors=True)
