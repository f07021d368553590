"""The checked-in protobuf code is what its sources give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATE = Path(__file__).parents[3] / "proto" / "generate.py"


def test_generated_code_is_fresh() -> None:
    result = subprocess.run([sys.executable, GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "proto"
    for path in [GENERATE, *GENERATE.parent.rglob("*.proto"), *(GENERATE.parent / "shardfleet_proto").rglob("*.py*")]:
        if path.suffix == ".pyc":
            continue
        target = copy / path.relative_to(GENERATE.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    source = copy / "shardfleet" / "v1" / "handoff.proto"
    source.write_text(source.read_text().replace("string fleet = 5;", "string fleet = 70;"))
    result = subprocess.run(
        [sys.executable, copy / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "v1/handoff_pb2.py is stale: run python proto/generate.py" in result.stderr
