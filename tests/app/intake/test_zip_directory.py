"""The members of a zip are counted before the library makes an object of each."""

import io
import struct
import zipfile

import pytest

from app.domain.errors import InvalidRequest, TooLarge
from app.intake.models.archives import unpack
from app.intake.models.zip_directory import count_members

COUNTS_AT = slice(-14, -10)  # of the record at the end: on this disk, and in all


def archive(members: int, *, comment: bytes = b"", name: str = "") -> bytearray:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for number in range(members):
            file.writestr(f"{name}{number}.txt", b"")
        file.comment = comment
    return bytearray(content.getvalue())


def count(content: bytes) -> int:
    return count_members(io.BytesIO(content), limit=1000, max_directory_bytes=2**20)


@pytest.mark.parametrize("members", [0, 1, 1000])
@pytest.mark.parametrize("comment", [b"", b"made by hand", b"x" * 65_535])
def test_members(members, comment):
    assert count(archive(members, comment=comment)) == members


def test_an_archive_behind_something_else():
    assert count(b"#!/bin/sh" * 100 + archive(3)) == 3


def test_zip64(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    content = archive(3)
    assert b"PK\6\6" in content
    assert count(content) == 3


@pytest.mark.parametrize("declared", [0, 5, 65_535])
def test_a_record_that_is_wrong(declared):
    """One that says too little is not believed, and one that says too much is refused at once."""
    content = archive(1001)
    content[COUNTS_AT] = struct.pack("<2H", declared, declared)
    assert count(content) == 1001


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"PK\5\6",
        archive(2)[:-1],
        archive(5)[-200:],
        archive(1000, name="n" * 2000),
    ],
)
def test_no_directory(content):
    with pytest.raises(ValueError, match="directory"):
        count(content)


@pytest.mark.parametrize("damage", [0, 1, 2])
def test_a_damaged_directory(damage):
    content = archive(3)
    start = content.index(b"PK\1\2")
    content[start + damage] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        count(content)


@pytest.mark.parametrize("declared", [25_000, 3])
def test_too_many_are_never_made_objects(tmp_path, monkeypatch, declared):
    content = archive(25_000 if declared > 1000 else 5_000)
    content[COUNTS_AT] = struct.pack("<2H", declared, declared)
    read = []

    class Member(zipfile.ZipInfo):
        def __init__(self, *args):
            read.append(args)
            super().__init__(*args)

    monkeypatch.setattr(zipfile, "ZipInfo", Member)
    with pytest.raises(TooLarge, match="1000 members"):
        unpack(io.BytesIO(content), tmp_path, keeps="config.json".__eq__, max_bytes=2**20)
    assert read == []


def test_what_is_none_is_said_as_ever(tmp_path):
    with pytest.raises(InvalidRequest, match=r"cannot be read as a \.zip"):
        unpack(io.BytesIO(b"PK" * 100), tmp_path, keeps="config.json".__eq__, max_bytes=2**20)
