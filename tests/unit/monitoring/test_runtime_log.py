"""The log's lines about transfers: each with its transfer, and never a flood."""

from __future__ import annotations

import logging

import pytest
from shardfleet_shard.core.context import TransferNote
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.monitoring.runtime_log import MOST, WINDOW_S, TransferLog


def notes(count: int) -> list[TransferNote]:
    return [
        TransferNote(transfer=TransferId("arena-0", 7, number), what="canceled", peer="arena-1", entities=3)
        for number in range(count)
    ]


def test_each_line_says_which_transfer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        TransferLog(lambda: 0.0).write(notes(2))
    said = [(one.getMessage(), one.transfer, one.peer, one.entities) for one in caplog.records]  # type: ignore[attr-defined]
    assert said == [("transfer canceled", f"arena-0/7/{number}", "arena-1", 3) for number in range(2)]


def test_of_a_flood_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    with caplog.at_level(logging.INFO):
        lines = TransferLog(lambda: now_s)
        for _ in range(3):
            lines.write(notes(MOST))
        assert len(caplog.records) == MOST
        now_s = WINDOW_S
        lines.write(notes(1))
    assert caplog.messages[MOST:] == [
        f"{2 * MOST} more transfers were canceled, rejected or frozen",
        "transfer canceled",
    ]
