"""Images that are made here because no hub gives them: kind's node, and a Python to build the project's image on."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster import archive, debian, golang, programs, versions
from tests.cluster.archive import Image
from tests.cluster.debian import RootFilesystem
from tests.cluster.docker import Docker
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, run, step

NODE_BASE = RootFilesystem(name="node", packages=versions.NODE_PACKAGES)
PROXY_BASE = RootFilesystem(name="proxy", packages=versions.PROXY_PACKAGES)

NODE_REPOSITORY = "shardfleet/node"
PYTHON_REPOSITORY = "shardfleet/python"
PROVISIONER_IMAGE = f"localhost/shardfleet/local-path-provisioner:{versions.LOCAL_PATH_PROVISIONER}"
SHELL_IMAGE = f"localhost/shardfleet/shell:{versions.KUBERNETES}"
CONTAINER_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")


def ensure_node_image(layout: Layout, docker: Docker) -> str:
    """Build kind's node image unless the Docker has it, and return its name.

    Raises:
        ClusterError: Something that it needs is missing or a step failed.
    """
    name = node_image_name(layout)
    if docker.has_image(name):
        return name
    # Two at a time: Go's builds use the processors while debootstrap mostly waits for the network and the disk.
    with ThreadPoolExecutor(max_workers=2) as pool:
        bases = pool.submit(lambda: [debian.build(each, layout) for each in (NODE_BASE, PROXY_BASE)])
        binaries = {program.name: golang.build(program, layout) for program in programs.NODE_PROGRAMS}
        node_base, proxy_base = bases.result()
    base = import_base(node_base, f"{NODE_REPOSITORY}-base:{NODE_BASE.key}", docker)
    with tempfile.TemporaryDirectory(dir=layout.cache, prefix="node-image-") as folder:
        context = Path(folder)
        images = required_images(binaries["components"], context)
        with step("the images of Kubernetes' components"):
            write_component_images(context / "images.tar", images, binaries, proxy_base, folder=context)
        fill_context(context, layout, binaries["components"], pause=one_of(images, "pause"))
        arguments = build_arguments({"BASE": base, "KUBERNETES": versions.KUBERNETES})
        with step("kind's node image"):
            docker.command(
                "build", "--network", "none", *arguments, "--tag", name, context, log=layout.logs / "node-image.log"
            )
    remove_older(NODE_REPOSITORY, keep=name, docker=docker)
    docker.command("image", "prune", "--force")  # what the builds before this one left without a name
    return name


def node_image_name(layout: Layout) -> str:
    """The image's name; its tag changes with everything that goes into it."""
    digest = hashlib.sha256()
    for program in programs.NODE_PROGRAMS:
        digest.update(golang.cache_key(program, golang.sources_of(program, layout)).encode())
    digest.update((NODE_BASE.key + PROXY_BASE.key).encode())
    files = (each for each in sorted((layout.sources / "node").rglob("*")) if each.is_file())
    for path in [*files, layout.sources / "node_image.py", layout.sources / "archive.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{NODE_REPOSITORY}:{versions.KUBERNETES}-{digest.hexdigest()[:12]}"


def build_arguments(values: Mapping[str, str]) -> list[str]:
    """``--build-arg`` options for ``docker build``."""
    return [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]


def required_images(components: Path, folder: Path) -> list[str]:
    """The names of the images that this version of kubeadm starts a cluster from; only it knows them."""
    kubeadm = folder / "kubeadm"
    kubeadm.symlink_to(components)
    text = run([kubeadm, "config", "images", "list", "--kubernetes-version", versions.KUBERNETES])
    kubeadm.unlink()
    return text.split()


def one_of(images: Sequence[str], component: str) -> str:
    """The one name among ``images`` that is of ``component``, as ``registry.k8s.io/coredns/coredns:v1.12.1``.

    Raises:
        ClusterError: kubeadm asks for none such: this version of Kubernetes needs other components.
    """
    found = [name for name in images if name.rpartition(":")[0].rpartition("/")[2] == component]
    if len(found) != 1:
        raise ClusterError(
            f"kubeadm {versions.KUBERNETES} names {len(found)} images of {component}: {', '.join(images)}"
        )
    return found[0]


def check_versions(images: Sequence[str]) -> None:
    """See that what is built is what kubeadm asks for by name.

    Raises:
        ClusterError: Another version of etcd or coredns is due, or an image that nothing here makes.
    """
    for component, version in (("etcd", versions.ETCD), ("coredns", versions.COREDNS)):
        wanted = one_of(images, component).rpartition(":")[2]
        if wanted.removeprefix("v").partition("-")[0] != version.removeprefix("v"):
            raise ClusterError(f"versions.py has {component} {version}, kubeadm {versions.KUBERNETES} wants {wanted}")
    known = {one_of(images, component) for component in (*CONTAINER_COMPONENTS, "etcd", "coredns", "pause")}
    if unknown := set(images) - known:
        raise ClusterError(f"kubeadm {versions.KUBERNETES} wants images that nothing here makes: {sorted(unknown)}")


def write_component_images(
    target: Path, images: Sequence[str], binaries: Mapping[str, Path], proxy_base: Path, *, folder: Path
) -> None:
    """Write the archive of images that every node imports when it first starts."""
    check_versions(images)

    def layer(program: str, path: str, links: Mapping[str, str] | None = None) -> Path:
        return archive.write_layer(folder / f"{program}.layer", files={path: binaries[program]}, links=links)

    links = {f"usr/local/bin/{name}": "components" for name in CONTAINER_COMPONENTS}
    components = layer("components", "usr/local/bin/components", links)
    coredns, etcd, pause = layer("coredns", "coredns"), layer("etcd", "usr/local/bin/etcd"), layer("pause", "pause")
    provisioner = layer("local-path-provisioner", "usr/local/bin/local-path-provisioner")
    archive.write(
        target,
        [
            # One chain of layers for all four: a node unpacks it once.
            Image(names=[one_of(images, name) for name in CONTAINER_COMPONENTS], layers=[proxy_base, components]),
            Image(names=[one_of(images, "etcd")], layers=[etcd]),
            Image(names=[one_of(images, "coredns")], layers=[coredns], entrypoint=["/coredns"]),
            Image(names=[one_of(images, "pause")], layers=[pause], entrypoint=["/pause"]),
            Image(names=[PROVISIONER_IMAGE], layers=[provisioner]),
            Image(names=[SHELL_IMAGE], layers=[proxy_base]),
        ],
        architecture=architecture(),
    )
    for path in folder.glob("*.layer"):
        path.unlink()


def fill_context(context: Path, layout: Layout, components: Path, *, pause: str) -> None:
    """Lay out what the node's Dockerfile copies, with the images' names put into the files that name them."""
    shutil.copytree(layout.sources / "node", context, dirs_exist_ok=True)
    names = {"@PAUSE@": pause, "@PROVISIONER@": PROVISIONER_IMAGE, "@SHELL@": SHELL_IMAGE}
    for path in [context / "containerd.toml", *(context / "manifests").glob("*.yaml")]:
        text = path.read_text()
        for placeholder, name in names.items():
            text = text.replace(placeholder, name)
        path.write_text(text)
    shutil.copy(components, context / "components")


def python_base() -> RootFilesystem:
    """A Debian with Python that a Dockerfile can take for the hub's ``python:3.11-slim``.

    It trusts whom this machine trusts, and asks the package index that this machine asks: an image is built here with
    the same view of the network as everything else.
    """
    pip = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt"]
    if index := os.environ.get("PIP_INDEX_URL"):
        pip.append(f"index-url = {index}")
    files = {"etc/pip.conf": ("\n".join(pip) + "\n").encode()}
    bundle = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    if bundle.exists():
        files["etc/ssl/certs/ca-certificates.crt"] = bundle.read_bytes()
    links = {"usr/local/bin/python": "/usr/bin/python3"}
    return RootFilesystem(name="python", packages=versions.PYTHON_PACKAGES, files=files, links=links)


def ensure_python_image(layout: Layout, docker: Docker) -> str:
    """Make the Python base image unless the Docker has it, and return its name.

    Raises:
        ClusterError: debootstrap or the import failed.
    """
    filesystem = python_base()
    name = f"{PYTHON_REPOSITORY}:{versions.DEBIAN}-{filesystem.key}"
    if not docker.has_image(name):
        import_base(debian.build(filesystem, layout), name, docker, changes=['CMD ["python3"]'])
        remove_older(PYTHON_REPOSITORY, keep=name, docker=docker)
    return name


def import_base(tar: Path, name: str, docker: Docker, *, changes: Sequence[str] = ()) -> str:
    """Make an image of a root filesystem's tar unless the Docker has one by this name, and return the name."""
    if not docker.has_image(name):
        with step(f"{name}, imported"):
            docker.command("import", *(word for each in changes for word in ("--change", each)), tar, name)
    return name


def remove_older(repository: str, *, keep: str, docker: Docker) -> None:
    """Remove what earlier versions of these files built; it would fill the disk unseen."""
    names = docker.command("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split()
    for name in names:
        if name != keep:
            docker.command("rmi", "--force", name)


def architecture() -> str:
    """This machine's processor, in Go's and the image format's word for it.

    Raises:
        ClusterError: Neither kind nor this code was ever tried on it.
    """
    known = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    if machine not in known:
        raise ClusterError(f"a node image can be built on {' and '.join(known)}, this machine is {machine}")
    return known[machine]
