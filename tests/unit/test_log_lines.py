"""What a record carries as ``extra`` is in its line."""

from __future__ import annotations

import logging

from shardfleet_shard.log_lines import FieldsFormatter


def test_fields_follow_the_message() -> None:
    record = logging.makeLogRecord({"name": "shard", "msg": "link %s", "args": ("up",), "peer": "arena-1", "epoch": 5})
    assert FieldsFormatter("%(name)s: %(message)s").format(record) == "shard: link up  epoch=5 peer=arena-1"


def test_a_record_without_fields_is_its_message() -> None:
    record = logging.makeLogRecord({"msg": "serving", "name": "shard"})
    assert FieldsFormatter("%(asctime)s %(name)s: %(message)s").format(record).endswith(" shard: serving")
