from __future__ import annotations

import itertools

import numpy as np
import pytest
from shardfleet_operator.map.frame import ABSENT, Frame, decode, encode_frame, encode_roster, owners_of, tags_of
from shardfleet_operator.map.history import FrameHistory

SECOND = 1_000_000


def test_positions_and_tags_come_back() -> None:
    position = np.array([[-12.5, 40.0], [np.nan, np.nan], [99.0, -3.25], [0.0, 0.0]])
    tags = np.array([tags_of(np.array([2]), np.array([1]))[0], ABSENT, 16382, 0], np.uint16)
    meta, arrays = decode(encode_frame({"number": 3}, position, tags))
    assert (meta["number"], meta["slots"]) == (3, 4)
    assert arrays["tag"].tolist() == tags.tolist()
    there = tags != ABSENT
    assert np.abs(arrays["position"][there] - position[there]).max() <= 111.5 / 65535
    assert owners_of(arrays["tag"])[0] == 2


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_one_alone(count: int) -> None:
    meta, arrays = decode(encode_frame({}, np.full((count, 2), 7.5), np.zeros(count, np.uint16)))
    assert arrays["position"].tolist() == [[7.5, 7.5]] * count
    assert len(meta["box"]) == 4


def test_a_frame_of_fifty_thousand_is_six_bytes_an_entity() -> None:
    rng = np.random.default_rng(1)
    data = encode_frame({"shards": []}, rng.normal(0, 50, (50_000, 2)), np.zeros(50_000, np.uint16))
    assert 300_000 < len(data) < 300_400


def test_arrays_begin_where_a_browser_can_read_them() -> None:
    for words in range(9):
        data = encode_roster(np.array([2**64 - 1, 5], np.uint64), np.array([0, 17]))
        meta, arrays = decode(data)
        assert (len(data) - 24) % 8 == 0
        assert (meta["count"], arrays["id"].tolist(), arrays["slot"].tolist()) == (2, [2**64 - 1, 5], [0, 17])
        data = encode_frame({"x": "y" * words}, np.zeros((1, 2)), np.zeros(1, np.uint16))
        assert (len(data) - 6) % 8 == 0


def frame(number: int, unix_us: int, size: int = 10) -> Frame:
    return Frame(number=number, unix_us=unix_us, revision=0, data=bytes(size))


def test_the_history_keeps_one_frame_a_second_for_two_minutes() -> None:
    history = FrameHistory()
    for number in range(8 * 200):
        history.take(frame(number, 5 * SECOND + number * SECOND // 8))
    times = history.times()
    assert len(history) == 121
    assert times[-1] - times[0] == 120 * SECOND
    assert {after - before for before, after in itertools.pairwise(times)} == {SECOND}
    assert history.at(times[40] + 300_000).unix_us == times[40]  # type: ignore[union-attr]
    assert history.at(0).unix_us == times[0]  # type: ignore[union-attr]


def test_the_history_keeps_no_more_bytes_than_it_may() -> None:
    history = FrameHistory(max_bytes=1000)
    for number in range(60):
        history.take(frame(number, number * SECOND, size=300))
        assert history.size_bytes <= 1000
    assert history.times() == [57 * SECOND, 58 * SECOND, 59 * SECOND]
    history.take(frame(60, 60 * SECOND, size=5000))  # one that is too large by itself
    assert (history.size_bytes, history.at(0)) == (0, None)
