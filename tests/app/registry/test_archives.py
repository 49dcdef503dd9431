"""Archives of models: what is unpacked, and what is refused."""

import tarfile
import zipfile

import pytest

from tests.app.conftest import make_settings, run_api
from tests.app.registry.archives import write_tar, write_zip
from tests.app.registry.conftest import refused
from tests.tiny import tarred, zipped


class TestArchive:
    def test_not_an_archive(self, api, tmp_path):
        path = tmp_path / "model.zip"
        path.write_bytes(b"hello, I am a model" * 100)
        assert "Pack the model folder" in refused(api, path, "invalid_archive")

    def test_empty_file(self, api, tmp_path):
        (tmp_path / "model.zip").touch()
        refused(api, tmp_path / "model.zip", "invalid_archive")

    @pytest.mark.parametrize("make", [zipped, tarred])
    def test_truncated(self, api, folder, make):
        archive = make(folder)
        archive.write_bytes(archive.read_bytes()[:-40_000])
        refused(api, archive, "invalid_archive")

    def test_damaged_member(self, api, folder):
        archive = zipped(folder)
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 0xFF
        archive.write_bytes(bytes(content))
        refused(api, archive, "invalid_archive")

    @pytest.mark.parametrize(
        "name",
        [
            "../config.json",
            "a/../../config.json",
            "/etc/config.json",
            "a\\..\\b",
            "..\\b",
            "\\\\host\\b",
            "C:/x",
        ],
    )
    def test_names_that_lead_out(self, api, tmp_path, name):
        path = write_zip(tmp_path / "model.zip", {"config.json": b"{}", name: b"{}"})
        assert "relative names" in refused(api, path, "unsafe_archive")
        assert not (tmp_path.parent / "config.json").exists()

    def test_names_that_lead_out_of_a_tar(self, api, tmp_path):
        refused(api, write_tar(tmp_path / "m.tar.gz", tarfile.TarInfo("../../config.json")), "unsafe_archive")

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
    def test_links_and_devices(self, api, tmp_path, kind):
        member = tarfile.TarInfo("model.safetensors")
        member.type, member.linkname = kind, "/etc/passwd"
        assert "plain files" in refused(api, write_tar(tmp_path / "m.tar.gz", member), "unsafe_archive")

    def test_link_in_a_zip(self, api, tmp_path):
        link = zipfile.ZipInfo("config.json")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
            file.writestr(link, "/etc/passwd")
        refused(api, tmp_path / "model.zip", "unsafe_archive")

    def test_a_name_for_a_file_and_a_folder(self, api, tmp_path):
        members = {"config.json": b"{}", "config.json/config.json": b"{}"}
        message = refused(api, write_zip(tmp_path / "model.zip", members), "invalid_archive")
        assert "squeeze-intake" not in message

    def test_a_name_that_is_not_text(self, api, tmp_path):
        """Its bytes are no UTF-8, and the message quotes it."""
        member = tarfile.TarInfo("../\udcff")
        with tarfile.open(tmp_path / "m.tar", "w", errors="surrogateescape", encoding="utf-8") as file:
            file.addfile(member)
        refused(api, tmp_path / "m.tar", "unsafe_archive")

    def test_a_negative_size(self, api, folder):
        """It would give back what other members spent."""
        archive = tarred(folder, compression="")
        member = tarfile.TarInfo("x")
        member.pax_headers = {"size": "-1000000000000"}
        with tarfile.open(archive, "a", format=tarfile.PAX_FORMAT) as file:
            file.addfile(member)
        refused(api, archive, "invalid_archive")

    @pytest.mark.parametrize(
        ("prefixes", "found"), [(["a/", "b/"], "2 (a, b)"), (["a/", "b/", "c/d/"], "2 (a, b)")]
    )
    def test_a_folder_that_is_not_found(self, api, folder, tmp_path, prefixes, found):
        members = {
            prefix + path.name: path.read_bytes()
            for prefix in prefixes
            for path in folder.iterdir()
            if path.is_file()
        }
        message = refused(api, write_zip(tmp_path / "model.zip", members), "missing_config")
        assert f"exactly one model, with its config.json; it has {found}" in message

    def test_bomb(self, api, tmp_path):
        path = write_zip(tmp_path / "model.zip", {"model.safetensors": bytes(64 * 2**20)})
        assert "200 times" in refused(api, path, "archive_bomb")

    def test_bomb_in_a_tar(self, api, tmp_path):
        path = write_tar(
            tmp_path / "m.tar.gz", tarfile.TarInfo("model.safetensors"), content=bytes(64 * 2**20)
        )
        refused(api, path, "archive_bomb")

    def test_bomb_in_a_header_of_a_tar(self, api, tmp_path):
        """An extended header is read whole, before anything is known of the member."""
        header = tarfile.TarInfo("pax")
        header.type = tarfile.XHDTYPE
        header.size = 64 * 2**20
        with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as file:
            file.fileobj.write(header.tobuf(tarfile.USTAR_FORMAT))
            file.fileobj.write(bytes(header.size))
        refused(api, tmp_path / "m.tar.gz", "invalid_archive")

    def test_many_headers_before_one_member(self, api, tmp_path):
        """None of them is a member, to be counted."""
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 2**20 - 512
        content = b"%d comment=" % header.size
        with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as file:
            for _ in range(20):
                file.fileobj.write(header.tobuf(tarfile.USTAR_FORMAT))
                file.fileobj.write(content.ljust(header.size - 1) + b"\n")
            file.addfile(tarfile.TarInfo("config.json"))
        assert "headers are too long" in refused(api, tmp_path / "m.tar.gz", "invalid_archive")

    def test_a_name_of_many_folders(self, api, tmp_path):
        path = write_zip(tmp_path / "model.zip", {"a/" * 30_000 + "config.json": b"{}"})
        assert "too long" in refused(api, path, "unsafe_archive")

    def test_too_many_members(self, api, tmp_path):
        path = write_zip(tmp_path / "model.zip", {f"{i}.txt": b"x" for i in range(1001)})
        assert "1000 members" in refused(api, path, "archive_too_large", status=413)

    def test_too_many_bytes(self, tmp_path, postgres_url, folder):
        settings = make_settings(tmp_path, database_url=postgres_url, max_unpacked_bytes=50_000)
        for api in run_api(settings):
            assert "50,000 bytes" in refused(api, zipped(folder), "archive_too_large", status=413)
