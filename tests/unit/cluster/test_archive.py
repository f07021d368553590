"""Image archives: written here, read back before they are loaded."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster import archive
from tests.cluster.archive import Image
from tests.cluster.progress import ClusterError


def make(folder: Path) -> Path:
    program = folder / "program"
    program.write_bytes(b"\x7fELF")
    shared = archive.write_layer(folder / "shared.tar", files={"bin/program": program}, links={"bin/other": "program"})
    top = archive.write_layer(folder / "top.tar", files={"top": program})
    target = folder / "images.tar"
    images = [
        Image(names=["a:1", "b:1"], layers=[shared]),
        Image(names=["c:2"], layers=[shared, top], entrypoint=["/top"]),
    ]
    archive.write(target, images, architecture="amd64")
    return target


def test_images_that_share_a_layer_share_it_in_the_archive(tmp_path: Path) -> None:
    with tarfile.open(make(tmp_path)) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json") or io.BytesIO())
    first, second = manifest
    assert first["RepoTags"] == ["a:1", "b:1"] and second["RepoTags"] == ["c:2"]
    assert second["Layers"][0] == first["Layers"][0]
    assert sorted(names) == sorted({*second["Layers"], first["Config"], second["Config"], "manifest.json"})


def test_configurations_name_the_layers_by_their_content(tmp_path: Path) -> None:
    with tarfile.open(make(tmp_path)) as tar:
        entry = json.load(tar.extractfile("manifest.json") or io.BytesIO())[1]
        config = json.load(tar.extractfile(entry["Config"]) or io.BytesIO())
        digests = [
            hashlib.sha256((tar.extractfile(name) or io.BytesIO()).read()).hexdigest() for name in entry["Layers"]
        ]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
    assert (config["architecture"], config["os"], config["config"]["Entrypoint"]) == ("amd64", "linux", ["/top"])


def test_a_layer_holds_programs_and_links(tmp_path: Path) -> None:
    make(tmp_path)
    with tarfile.open(tmp_path / "shared.tar") as tar:
        program, link = tar.getmembers()
    assert (program.name, program.mode, program.uid) == ("bin/program", 0o755, 0)
    assert (link.name, link.linkname, link.issym()) == ("bin/other", "program", True)


def test_the_names_in_an_archive(tmp_path: Path) -> None:
    assert archive.names_in(make(tmp_path)) == ["a:1", "b:1", "c:2"]


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w"):
        pass
    unnamed = tmp_path / "unnamed.tar"
    archive.write(unnamed, [Image(names=[], layers=[])], architecture="amd64")
    for path, why in (
        (tmp_path / "absent", "no such file"),
        (tmp_path, "not an image archive"),
        (text, "not an image archive"),
        (other, "not an image archive"),
        (unnamed, "have no name"),
    ):
        with pytest.raises(ClusterError, match=why) as caught:
            archive.names_in(path)
        assert str(path) in str(caught.value) and "docker save" in str(caught.value)
