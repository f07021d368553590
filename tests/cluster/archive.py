"""Image archives in the format of ``docker save``, written without a Docker and read before they are loaded."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.progress import ClusterError

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image under one or more names; images that share a layer's file share the layer."""

    names: Sequence[str]
    layers: Sequence[Path]
    """Uncompressed tars, lowest first."""

    entrypoint: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin"})


def write_layer(target: Path, *, files: Mapping[str, Path], links: Mapping[str, str] | None = None) -> Path:
    """Write a layer: programs (mode 755, owned by root) and symbolic links, by their path in the image."""
    with tarfile.open(target, "w") as tar:
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o755
            with path.open("rb") as content:
                tar.addfile(entry, content)
        for name, link_target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, link_target
            tar.addfile(entry)
    return target


def write(target: Path, images: Sequence[Image], *, architecture: str) -> None:
    """Write all images into one archive, each layer once."""
    digests = {layer: _sha256(layer) for image in images for layer in image.layers}
    manifest = []
    with tarfile.open(target, "w") as tar:
        for layer, digest in digests.items():
            tar.add(layer, f"{digest}.tar")
        configs: set[str] = set()
        for image in images:
            content = _config(image, [digests[layer] for layer in image.layers], architecture)
            name = hashlib.sha256(content).hexdigest() + ".json"
            if name not in configs:
                _add(tar, name, content)
                configs.add(name)
            layers = [f"{digests[layer]}.tar" for layer in image.layers]
            manifest.append({"Config": name, "RepoTags": list(image.names), "Layers": layers})
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def names_in(archive: Path) -> list[str]:
    """The names of the images in an archive.

    Raises:
        ClusterError: The file is missing, no archive of images, or its images have no name.
    """
    what_to_do = "make one with 'docker save --output FILE IMAGE' or 'python -m tests.cluster image'"
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("manifest.json")
            if member is None:
                raise KeyError("manifest.json")
            manifest = json.load(member)
    except FileNotFoundError:
        raise ClusterError(f"{archive}: no such file; {what_to_do}") from None
    except (tarfile.TarError, KeyError, json.JSONDecodeError, IsADirectoryError) as error:
        raise ClusterError(f"{archive}: not an image archive (no tar with a manifest.json); {what_to_do}") from error
    names = [name for entry in manifest for name in entry.get("RepoTags") or []]
    if not names:
        raise ClusterError(f"{archive}: its images have no name, so no pod could ask for them; {what_to_do}")
    return names


def _config(image: Image, digests: Sequence[str], architecture: str) -> bytes:
    environment = [f"{name}={value}" for name, value in image.environment.items()]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": environment, "Entrypoint": list(image.entrypoint)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    return json.dumps(config).encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
