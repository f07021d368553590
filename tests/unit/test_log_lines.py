"""What a record carries as ``extra`` is in its line, for people and as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

import pytest
from shardfleet_shard.errors import InvariantError, UsageError
from shardfleet_shard.log_lines import FieldsFormatter, JsonFormatter, formatter_for, message_of

TEXT = "%(asctime)s %(levelname)s arena-1 %(name)s: %(message)s"


def test_fields_follow_the_message() -> None:
    record = logging.makeLogRecord({"name": "shard", "msg": "link %s", "args": ("up",), "peer": "arena-1", "epoch": 5})
    assert FieldsFormatter("%(name)s: %(message)s").format(record) == "shard: link up  epoch=5 peer=arena-1"


def test_a_record_without_fields_is_its_message() -> None:
    record = logging.makeLogRecord({"msg": "serving", "name": "shard"})
    assert FieldsFormatter("%(asctime)s %(name)s: %(message)s").format(record).endswith(" shard: serving")


def test_json_has_the_process_own_fields_and_the_records() -> None:
    epochs = [0]
    about = {"fleet": lambda: "arena", "shard": lambda: "arena-1", "epoch": lambda: epochs[-1], "namespace": lambda: ""}
    record = logging.makeLogRecord(
        {"name": "net", "levelname": "INFO", "msg": "link %s", "args": ('"up"',), "peer": "arena-2", "of": {1}}
    )
    line = json.loads(JsonFormatter(about).format(record))
    assert datetime.fromisoformat(line.pop("time")).timestamp() == pytest.approx(record.created, abs=0.001)
    assert line == {
        "level": "INFO", "logger": "net", "message": 'link "up"', "fleet": "arena", "shard": "arena-1",
        "peer": "arena-2", "of": "{1}",
    }  # fmt: skip
    epochs.append(7)
    assert json.loads(JsonFormatter(about).format(record))["epoch"] == 7, "as it is when the line is written"


def raised() -> logging.LogRecord:
    try:
        raise InvariantError("a pair\nthat is not there")
    except InvariantError:
        return logging.makeLogRecord({"levelname": "ERROR", "name": "shard", "msg": "over", "exc_info": sys.exc_info()})


def test_an_exception_is_one_line_of_json() -> None:
    text = JsonFormatter({}).format(raised())
    assert "\n" not in text and "InvariantError: a pair\nthat is not there" in json.loads(text)["exception"]


@pytest.mark.parametrize("wanted", ["text", "json"])
def test_last_words_are_the_same_in_both_formats(wanted: str) -> None:
    formatter = formatter_for(wanted, text=TEXT, about={"shard": lambda: "arena-1"})
    record = logging.makeLogRecord({"name": "shard", "levelname": "ERROR", "msg": "shard ends: no room"})
    assert message_of(formatter.format(record).splitlines()[-1]) == "shard ends: no room"
    assert message_of(formatter.format(raised()).splitlines()[-1]) == "that is not there"


@pytest.mark.parametrize("line", ["", "plain", "{", "{}", "[1]", '{"message"', "shardfleet: error: no such file"])
def test_other_lines_are_their_own_message(line: str) -> None:
    assert message_of(line) == line


def test_a_format_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"--log-format 'xml' \(or SHARDFLEET_LOG_FORMAT\): text or json"):
        formatter_for("xml", text=TEXT, about={})
