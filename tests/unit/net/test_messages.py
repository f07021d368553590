"""Pictures of rows as messages: what a reader makes of those that do not fit together."""

from __future__ import annotations

import numpy as np
import pytest
from shardfleet_proto.v1 import shard_pb2 as pb
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.errors import FrameError
from shardfleet_shard.net.api import RowsView
from shardfleet_shard.net.messages import ViewReader, view_to_messages


def message() -> pb.Rows:
    rows = Schema(2).rows(id=[1, 2], position=np.zeros((2, 2)))
    view = RowsView(
        tick=9,
        unix_us=5,
        shard="a",
        epoch=2,
        rows=rows,
        states=np.array([0, 1], np.uint8),
        since_tick=np.array([3, -1]),
        recovered_tick=3,
    )
    [only] = view_to_messages(view)
    return only


def test_there_and_back() -> None:
    view = ViewReader().add(message())
    assert view is not None
    assert (view.states.tolist(), view.since_tick.tolist(), view.recovered_tick) == ([0, 1], [3, -1], 3)


def test_a_shard_that_does_not_know_since_when() -> None:
    sent = message()
    sent.ClearField("since_tick")
    sent.ClearField("recovered_tick")
    view = ViewReader().add(sent)
    assert view is not None and view.since_tick.tolist() == [0, 0]


@pytest.mark.parametrize("size", [1, 8, 15, 24])
def test_since_when_for_other_rows(size: int) -> None:
    sent = message()
    sent.since_tick = bytes(size)
    with pytest.raises(FrameError, match=f"{size} bytes of since_tick for 2 rows"):
        ViewReader().add(sent)
