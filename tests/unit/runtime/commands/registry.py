"""The commands by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..interpreter import Interpreter

Handler = Callable[["Interpreter", list[str]], None]
COMMANDS: dict[str, Handler] = {}


def command(call: Handler) -> Handler:
    """``do_some_thing`` becomes ``some-thing``."""
    COMMANDS[call.__name__.removeprefix("do_").replace("_", "-")] = call
    return call


def some(count: int) -> None:
    """A script that names what is not there tests nothing."""
    if not count:
        raise LookupError("nothing of that kind waits")
