"""Log lines that end with the fields of their record: ``link up  peer=arena-1 epoch=5``."""

from __future__ import annotations

import logging

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record has; anything else came as ``extra``."""


class FieldsFormatter(logging.Formatter):
    """``logging.Formatter``, with what a call gave as ``extra`` behind the message, by name."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in sorted(vars(record).items()) if name not in _OWN)
        line = super().formatMessage(record)
        return f"{line}  {fields}" if fields else line
