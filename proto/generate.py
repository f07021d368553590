"""Generates shardfleet_proto/ from shardfleet/v1/*.proto; with --check compares instead and fails on a difference.

protoc names its Python modules after the path of the .proto file. The package is called shardfleet_proto, so that
it does not claim the name ``shardfleet``; the imports between generated files are rewritten to match.
"""

from __future__ import annotations

import argparse
import importlib.resources
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "shardfleet_proto"
_IMPORT = re.compile(r"^from shardfleet\.(v\d+) import", re.MULTILINE)
# protoc stamps its own version into what it writes. Another version of it is no difference between the sources and
# the generated code, so --check looks past the stamps.
_STAMPS = re.compile(
    r"# Protobuf Python Version: \S+|GRPC_GENERATED_VERSION = '[^']*'|Domain\.PUBLIC,\s+\d+,\s+\d+,\s+\d+,"
)


def generate() -> dict[Path, str]:
    """Path below ``PACKAGE`` -> text, for every generated file."""
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "shardfleet").rglob("*.proto"))
    well_known = str(importlib.resources.files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{ROOT}", f"-I{well_known}"]
        arguments += [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main([*arguments, *sources]) != 0:
            raise SystemExit("proto/generate.py: protoc refused the sources")
        made = {}
        out = Path(folder) / "shardfleet"
        for path in sorted(out.rglob("*.py*")):
            text = path.read_text(encoding="utf-8")
            # A file without services still gets a _grpc module that does nothing: left out.
            if path.name.endswith("_pb2_grpc.py") and "class " not in text:
                continue
            made[path.relative_to(out)] = _IMPORT.sub(r"from shardfleet_proto.\1 import", text)
        for version in {path.parent for path in made}:
            made[version / "__init__.py"] = ""
    return made


def present() -> dict[Path, str]:
    """What is checked in, in the same form."""
    found = sorted(path for folder in PACKAGE.glob("v*") for path in folder.rglob("*.py*") if path.suffix != ".pyc")
    return {path.relative_to(PACKAGE): path.read_text(encoding="utf-8") for path in found}


def without_stamps(text: str | None) -> str | None:
    return None if text is None else _STAMPS.sub("", text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="proto/generate.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the checked-in code is stale")
    options = parser.parse_args(arguments)
    wanted, there = generate(), present()
    if options.check:
        everything = sorted(wanted.keys() | there.keys())
        stale = [path for path in everything if without_stamps(wanted.get(path)) != without_stamps(there.get(path))]
        for path in stale:
            print(f"proto/shardfleet_proto/{path} is stale: run python proto/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for path in there.keys() - wanted.keys():
        (PACKAGE / path).unlink()
    for path, text in wanted.items():
        (PACKAGE / path).parent.mkdir(parents=True, exist_ok=True)
        (PACKAGE / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
