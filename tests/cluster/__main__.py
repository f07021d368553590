"""``python -m tests.cluster COMMAND``: the cluster of the end-to-end tests, its tools and its images."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import kind, project_image, record, tools
from tests.cluster.choice import MODES, choose, mode_from
from tests.cluster.own_docker import OwnDocker
from tests.cluster.paths import Layout
from tests.cluster.progress import ClusterError, exclusive, say
from tests.cluster.project_image import ImageRequest

NOTHING_RUNS = 3
"""The exit code by which programs that ask for a status tell that from a failure."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__, allow_abbrev=False)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="bring the cluster up and write build/kubeconfig")
    up.add_argument("--retain", action="store_true", help="leave nodes that did not come up, to look at them")
    commands.add_parser("down", help="take the cluster away; what was built stays in the cache")
    commands.add_parser("status", help=f"what runs; ends with {NOTHING_RUNS} where nothing does")
    commands.add_parser("clean", help="down, and the cache away as well")

    tool = commands.add_parser("tool", help="print a tool's path, built first where need be")
    tool.add_argument("name", choices=sorted(tools.TOOLS), metavar="NAME", help=", ".join(sorted(tools.TOOLS)))

    load = commands.add_parser("load", help="load image archives into every node")
    load.add_argument("files", nargs="+", type=Path, metavar="FILE", help="as 'docker save' writes it")

    image = commands.add_parser("image", help="build the project's image and save it as an archive")
    image.add_argument("--file", type=Path, default=None, help="the Dockerfile (Dockerfile in the context)")
    image.add_argument("--context", type=Path, default=None, help="folder to build from (the repository)")
    image.add_argument("--tag", default="shardfleet:dev", help="the image's name (shardfleet:dev)")
    image.add_argument("--out", type=Path, default=None, help="the archive (build/image.tar)")
    image.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", type=named_value)
    image.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="TAG=FOLDER",
        type=named_value,
        help="a further image from the Dockerfile in a folder, with the first one as its BASE, in the same archive",
    )
    image.add_argument("--load", action="store_true", help="then load them into the running cluster's nodes")

    for command in (up, image):
        command.add_argument(
            "--mode", choices=MODES, help="this machine's Docker, or one built from registries (SHARDFLEET_CLUSTER)"
        )
        command.add_argument(
            "--install", action="store_true", help="install missing Debian packages (always done where CI is set)"
        )
    return root


def named_value(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` as a pair."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def build_image(options: argparse.Namespace, layout: Layout) -> None:
    """Build on the running cluster's Docker, or on the one that a cluster would be brought up on."""
    context = (options.context or layout.repository).resolve()
    first = ImageRequest(
        dockerfile=(options.file or context / "Dockerfile").resolve(),
        context=context,
        tag=options.tag,
        arguments=dict(options.build_arg),
    )
    requests = [first]
    for tag, folder in options.also:
        above = Path(folder).resolve()
        requests.append(
            ImageRequest(dockerfile=above / "Dockerfile", context=above, tag=tag, arguments={"BASE": first.tag})
        )
    out = (options.out or layout.repository / "build" / "image.tar").resolve()
    if options.load or record.read(layout) is not None:
        docker = kind.cluster_docker(layout)
    else:
        docker = choose(layout, mode=mode_of(options), install=may_install(options)).docker
    for request in requests:
        project_image.build(request, layout, docker)
    project_image.save([request.tag for request in requests], out, docker)
    if options.load:
        kind.load(layout, [out])
    print(out)


def mode_of(options: argparse.Namespace) -> str:
    """The mode of the command line, else of the environment."""
    return options.mode or mode_from(os.environ)


def may_install(options: argparse.Namespace) -> bool:
    """Whether packages may be installed without asking a person."""
    return options.install or os.environ.get("CI", "").lower() not in ("", "0", "false")


def clean(layout: Layout) -> None:
    """Take the cluster and the cache away; not Go's own cache, which belongs to the person."""
    kind.down(layout)
    OwnDocker(layout).stop()
    for path in layout.cache.iterdir():
        if path not in (layout.lock, layout.tools_lock):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    say(f"{layout.cache} is empty")


def carry_out(options: argparse.Namespace, layout: Layout) -> None:
    """One command, while no other of its sort runs."""
    match options.command:
        case "up":
            kind.up(layout, mode=mode_of(options), install=may_install(options), retain=options.retain)
        case "down":
            kind.down(layout)
        case "clean":
            clean(layout)
        case "tool":
            print(tools.find(options.name, layout))
        case "load":
            kind.load(layout, options.files)
        case "image":
            build_image(options, layout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when it was done, 1 when something is missing or failed."""
    options = parser().parse_args(arguments)
    layout = Layout.from_environment()
    try:
        if options.command == "status":
            print(kind.status(layout))
            return 0 if record.read(layout) is not None else NOTHING_RUNS
        with exclusive(layout.tools_lock if options.command == "tool" else layout.lock):
            carry_out(options, layout)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; 'make kind-up' goes on, 'make kind-down' takes everything away")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
