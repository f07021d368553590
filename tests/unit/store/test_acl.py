"""The rule names what is used and nothing else; that it is enough is shown by every test on a real server."""

from __future__ import annotations

import re
from pathlib import Path

from shardfleet_shard.store.acl import OUTSIDE_SCRIPTS, acl_rule, commands

ROOT = Path(__file__).parents[3]
IN_PYTHON = re.compile(r"\(\"([A-Z]+)\"(?:, \"(LOAD|GET)\")?[,)]")
CHART = ROOT / "charts/shardfleet/files/redis-acl.txt"


def sent_as_they_are() -> set[str]:
    found = set()
    for folder in ("shard", "operator"):
        for file in (ROOT / folder).rglob("*.py"):
            for name, what in IN_PYTHON.findall(file.read_text()):
                found.add(f"{name}|{what}".lower() if name in ("CONFIG", "SCRIPT") else name.lower())
    return found


def test_nothing_is_allowed_outside_of_scripts_that_is_not_sent() -> None:
    # SELECT is sent by redis-py, for a URL that names a database.
    assert set(OUTSIDE_SCRIPTS) - {"select"} == sent_as_they_are() & set(OUTSIDE_SCRIPTS) | {"evalsha"}


def test_what_could_harm_others_is_not_allowed() -> None:
    harmful = {"eval", "flushall", "flushdb", "keys", "config|set", "shutdown", "acl|setuser", "debug", "monitor"}
    assert harmful.isdisjoint(commands())
    assert acl_rule().startswith("~sf:* resetchannels -@all +")


def test_the_chart_has_the_same_rule() -> None:
    assert CHART.read_text() == f"{acl_rule()}\n", "run make verify"
