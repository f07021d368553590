"""What this code has started: a small file in the cache, so that nothing else is ever taken for ours."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tests.cluster.paths import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The one cluster that was started here, whole or not."""

    own_docker: bool
    """Whether its nodes run in the Docker of ``own_docker``; otherwise in the machine's."""

    ready: bool
    """False from before kind is called until every node was seen Ready."""


def read(layout: Layout) -> Record | None:
    """The cluster that was started and not taken away since; None when there is none."""
    try:
        values = json.loads(layout.record.read_text())
        return Record(own_docker=bool(values["own_docker"]), ready=bool(values["ready"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Half a file, or one of another version: something was started; taking away both kinds does no harm.
        return Record(own_docker=True, ready=False)


def write(layout: Layout, record: Record) -> None:
    """Replace the file as a whole."""
    layout.record.parent.mkdir(parents=True, exist_ok=True)
    new = layout.record.with_suffix(".new")
    new.write_text(json.dumps(asdict(record)) + "\n")
    new.replace(layout.record)


def remove(layout: Layout) -> None:
    """Forget the cluster, after it was taken away."""
    layout.record.unlink(missing_ok=True)
