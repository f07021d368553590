"""What a user of Redis must be allowed for a fleet to run, and nothing beyond it, as an ACL rule."""

from __future__ import annotations

import re
from functools import cache

from .keys import ROOT
from .scripts import all_lua

OUTSIDE_SCRIPTS = (
    "config|get",
    "evalsha",
    "exists",
    "get",
    "hget",
    "hgetall",
    "hkeys",
    "hmget",
    "hset",
    "info",
    "scan",
    "script|load",
    "select",
    "unlink",
    "zcard",
)
"""Commands sent as they are; ``select`` only for a URL that names another database than 0."""

_CALL = re.compile(r"\bcall\('([A-Z]+)'")


@cache
def commands() -> tuple[str, ...]:
    """All commands that are used, lower case, sorted. Redis checks those inside of scripts like any other."""
    scripted = {name.lower() for lua in all_lua() for name in _CALL.findall(lua.text)}
    return tuple(sorted(scripted.union(OUTSIDE_SCRIPTS)))


def acl_rule() -> str:
    """For ``ACL SETUSER name on >password <rule>``, or a ``user`` line of the configuration."""
    return " ".join([f"~{ROOT}*", "resetchannels", "-@all", *(f"+{command}" for command in commands())])


if __name__ == "__main__":
    print(acl_rule())
