"""Log lines for people, which end with their record's fields (``link up  peer=arena-1 epoch=5``), or as JSON."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from .environment import LOG_FORMAT_VARIABLE
from .errors import UsageError

LogFormat = Literal["text", "json"]

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record has; anything else came as ``extra``."""
_TEXT_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ \S+ \S+: ")
"""Time, level, shard and logger of a shard's line for people."""

About = Mapping[str, Callable[[], Any]]
"""Who writes: what every line says, by name, as it is when the line is written. '' and 0 are left out."""


class FieldsFormatter(logging.Formatter):
    """``logging.Formatter``, with what a call gave as ``extra`` behind the message, by name."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in sorted(_fields(record).items()))
        line = super().formatMessage(record)
        return f"{line}  {fields}" if fields else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then ``about`` and what the call gave as ``extra``."""

    def __init__(self, about: About) -> None:
        super().__init__()
        self._about = about

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, read in self._about.items() if (value := read())},
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def formatter_for(wanted: str, *, text: str, about: About) -> logging.Formatter:
    """
    Args:
        wanted: text or json.
        text: the line for people, as ``logging.Formatter`` takes it.
    Raises:
        UsageError: it is neither.
    """
    if wanted not in get_args(LogFormat):
        raise UsageError(f"--log-format {wanted!r} (or {LOG_FORMAT_VARIABLE}): text or json")
    return JsonFormatter(about) if wanted == "json" else FieldsFormatter(text)


def message_of(line: str) -> str:
    """What a shard's log line says, without who said it and when; of an exception its last line; of any other line, the
    line."""
    if line.startswith("{"):
        try:
            said = json.loads(line)
            return str(said.get("exception") or said["message"]).splitlines()[-1]
        except (ValueError, KeyError, IndexError):
            return line
    return _TEXT_PREFIX.sub("", line)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}
