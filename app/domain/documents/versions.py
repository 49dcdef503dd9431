"""Stored documents have versions, and today's code reads all of them.

What is stored as JSON outlives the code that wrote it. A document is written with the version of its form;
whoever changes a form adds a function that brings a document of the version before to the new one. A document
without a version is of the first: so it was written before there were versions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ValidationError

from app.domain.errors import NewerVersion, Unreadable

Json: TypeAlias = dict[str, Any]
Upgrader: TypeAlias = Callable[[Json], Json]

_VERSION = "version"


def version_of(stored: object) -> int:
    """Of a stored document; 1 also where it is damaged."""
    version = stored.get(_VERSION, 1) if isinstance(stored, Mapping) else 1
    return version if type(version) is int else 1


class StoredDocument(BaseModel):
    """A document that is stored. Its version is no member of it: neither clients nor code see it."""

    document_name: ClassVar[str]
    """As messages say it: "job spec"."""
    upgraders: ClassVar[Sequence[Upgrader]] = ()
    """The first makes version 2 of version 1, and so on; each returns a new document."""

    @classmethod
    def newest_version(cls) -> int:
        return len(cls.upgraders) + 1

    def to_stored(self) -> Json:
        """As JSON with its version."""
        return {_VERSION: self.newest_version(), **self.model_dump(mode="json")}

    @classmethod
    def from_stored(cls, stored: object, *, owner: str) -> Self:
        """Read a document of any version so far.

        Args:
            stored: JSON as it was stored.
            owner: the id of what it belongs to, for the message.

        Raises:
            NewerVersion: a later version of the service wrote it.
            Unreadable: it is damaged.
        """
        if (newer := cls._newer_part(stored)) is not None:
            raise NewerVersion(owner, f"The {cls.document_name} of {owner} cannot be read: {newer}.")
        try:
            return cls.model_validate(cls._upgraded(stored))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, fault["loc"]))
            reason = f"{place}: {fault['msg']}" if place else fault["msg"]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) or type(error).__name__
        raise Unreadable(owner, f"The {cls.document_name} of {owner} cannot be read: {reason}.")

    @classmethod
    def _newer_part(cls, stored: object) -> str | None:
        """What shows that a later version of the service wrote the document, if anything does."""
        version, newest = version_of(stored), cls.newest_version()
        return (
            f"it is of version {version}, this server supports up to {newest}" if version > newest else None
        )

    @classmethod
    def _upgraded(cls, stored: object) -> Json:
        if not isinstance(stored, Mapping):
            raise TypeError("it is not a JSON object")
        document = dict(stored)
        version = document.pop(_VERSION, 1)
        if type(version) is not int or version < 1:
            raise ValueError(f"{version!r} is not a version")
        for upgrade in cls.upgraders[version - 1 :]:
            document = upgrade(document)
        return document
