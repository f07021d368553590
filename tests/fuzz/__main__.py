"""``make fuzz``: libFuzzer, by way of atheris, over each target in turn. See README.md."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
BUILD = Path("build") / "fuzz"
MAX_INPUT_BYTES = 65_536
SLOW_S = 10
"""An input that takes so long is a finding."""
MAX_MEMORY_MB = 1_024
"""So is one that takes so much: every size that an input names must be checked before anything is made of it."""
TARGETS_MODULE = "tests.fuzz.targets"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--target", action="append", help="only this one; may be given again")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args(arguments)
    if options.child:
        return _child(options.child, rest)
    from .targets import TARGETS

    names = options.target or list(TARGETS)
    if unknown := sorted(set(names) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    seconds = max(1, round(options.minutes * 60 / len(names)))
    failed = [name for name in names if not _fuzz(name, seconds)]
    if failed:
        print(f"\nFound something in {', '.join(failed)}: mend it, and put the input into tests/fuzz/corpus/TARGET/.")
    return 1 if failed else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Whether nothing was found."""
    from .targets import TARGETS

    corpus, found = BUILD / "corpus" / name, BUILD / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    kept = HERE / "corpus" / name
    folders = [str(corpus), *([str(kept)] if kept.is_dir() else [])]  # libFuzzer writes to the first
    limits = [
        f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", f"-timeout={SLOW_S}",
        f"-rss_limit_mb={MAX_MEMORY_MB}", f"-artifact_prefix={found}/", "-print_final_stats=1",
    ]  # fmt: skip
    before = set(found.iterdir())
    command = [sys.executable, "-m", "tests.fuzz", "--child", name, *folders, *limits]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    runs = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stdout)
    edges = re.findall(r"\bcov: (\d+)", done.stdout)
    new = sorted(str(path) for path in set(found.iterdir()) - before)
    print(
        f"{name:10} {int(runs[1]) if runs else 0:>10,} inputs in {seconds} s, {edges[-1] if edges else '?'} branches, "
        f"{'nothing found' if done.returncode == 0 else 'FOUND ' + ' '.join(new)}",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-4_000:], file=sys.stderr)
    return done.returncode == 0


def _child(name: str, arguments: Sequence[str]) -> int:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["shardfleet_shard"]):
        targets = importlib.import_module(TARGETS_MODULE)
    atheris.Setup([sys.argv[0], *arguments], targets.TARGETS[name].read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
