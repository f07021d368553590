"""The files of ``local up --tls``, made by the commands of docs/operate-local.md as they stand there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.docs.walkthrough import steps
from tests.patience import PATIENCE_S

PAGE = Path(__file__).parents[1] / "docs" / "operate-local.md"
SECTION = "TLS between the shards"
FLEET_OF_THE_PAGE = "arena"
NEEDS_OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


def make_tls_files(parent: Path, *, fleet: str = FLEET_OF_THE_PAGE) -> Path:
    """The new folder ``tls`` in ``parent``, for the four shards of ``fleet``. One that is there is replaced.

    Raises:
        subprocess.CalledProcessError: a command of the page failed.
    """
    folder = parent / "tls"
    shutil.rmtree(folder, ignore_errors=True)
    parent.mkdir(parents=True, exist_ok=True)
    (step,) = (step for step in steps(PAGE, SECTION) if step.kind == "sh")
    commands = step.text.replace(FLEET_OF_THE_PAGE, fleet)
    subprocess.run(["sh", "-ec", commands], cwd=parent, check=True, capture_output=True, timeout=PATIENCE_S)
    return folder
