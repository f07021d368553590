"""AuthorityManifest: through chunks and back, and every damage named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shardfleet_shard.core.columns import Schema
from shardfleet_shard.core.manifest import MAX_CHUNK_BYTES, AuthorityManifest, schema_from_header, schema_to_header

SCHEMA = Schema(3, np.dtype([("mass", "<f4"), ("spin", "<f8", (2,))]))
ROWS_PER_CHUNK = (MAX_CHUNK_BYTES - 4) // (SCHEMA.row_size_bytes + 1)


def manifest(count: int) -> AuthorityManifest:
    rng = np.random.default_rng(count)
    rows = SCHEMA.rows(
        id=np.arange(count), version=rng.integers(1, 9, count), position=rng.normal(size=(count, 3)), mass=2.5
    )
    states = rng.integers(0, 3, count, np.uint8)
    return AuthorityManifest(
        shard="arena-0", epoch=7, tick=-3, unix_us=12, position="5-1", rows=rows, states=states, stats={"ticks": 4}
    )


@settings(max_examples=20)
@given(st.sampled_from([0, 1, 7, ROWS_PER_CHUNK - 1, ROWS_PER_CHUNK, ROWS_PER_CHUNK + 1, 3 * ROWS_PER_CHUNK + 5]))
def test_it_survives_its_chunks(count: int) -> None:
    written = manifest(count)
    header, chunks = written.to_chunks()
    assert len(chunks) == -(-count // ROWS_PER_CHUNK)
    assert all(0 < len(chunk) <= MAX_CHUNK_BYTES for chunk in chunks)
    read = AuthorityManifest.from_chunks(json.loads(json.dumps(header)), chunks)
    assert read.rows.pack() == written.rows.pack()
    assert np.array_equal(read.states, written.states)
    for name in ("shard", "epoch", "tick", "unix_us", "position"):
        assert getattr(read, name) == getattr(written, name)
    assert read.stats == {"ticks": 4} and read.rows.schema.descr == SCHEMA.descr
    text, again = written.to_stored()
    assert (json.loads(text), again) == (header, chunks)
    stored, faults = AuthorityManifest.from_stored(text, again)
    assert stored is not None and stored.rows.pack() == written.rows.pack() and not faults


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_damaged_chunk_is_named(number: int, at: int) -> None:
    header, chunks = manifest(2 * ROWS_PER_CHUNK + 100).to_chunks()
    damaged = bytearray(chunks[number])
    damaged[at] ^= 1
    chunks[number] = bytes(damaged)
    with pytest.raises(ValueError, match=rf"^chunk {number} is damaged"):
        AuthorityManifest.from_chunks(header, chunks)


def test_chunks_cut_short_missing_or_in_another_order_are_named() -> None:
    header, chunks = manifest(2 * ROWS_PER_CHUNK).to_chunks()
    with pytest.raises(ValueError, match=r"^chunk 1 is damaged"):
        AuthorityManifest.from_chunks(header, [chunks[0], chunks[1][:-1]])
    with pytest.raises(ValueError, match=r"^1 of 2 chunks"):
        AuthorityManifest.from_chunks(header, chunks[:1])
    with pytest.raises(ValueError, match=r"^3 of 2 chunks"):
        AuthorityManifest.from_chunks(header, [*chunks, b""])
    with pytest.raises(ValueError, match=r"^chunk 0 is damaged"):
        AuthorityManifest.from_chunks(header, chunks[::-1])


def test_a_header_that_counts_more_rows_than_there_are() -> None:
    header, chunks = manifest(3).to_chunks()
    with pytest.raises(ValueError):
        AuthorityManifest.from_chunks({**header, "count": 4}, chunks)


@pytest.mark.parametrize("number", [0, 2, None])
def test_a_manifest_of_another_format_is_refused(number: Any) -> None:
    header, chunks = manifest(1).to_chunks()
    with pytest.raises(ValueError, match=f"format {number!r}"):
        AuthorityManifest.from_chunks({**header, "format": number}, chunks)


@pytest.mark.parametrize(
    "schema", [Schema(2), Schema(3), SCHEMA, Schema(2, np.dtype([("on", "?"), ("n", ">i2", (3,))]))]
)
def test_a_header_tells_the_schema(schema: Schema) -> None:
    read = schema_from_header(json.loads(json.dumps(schema_to_header(schema))))
    assert read.descr == schema.descr and read.hash == schema.hash
