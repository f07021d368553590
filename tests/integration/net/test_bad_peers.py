"""Peers that say nothing, say something wrong or say too much: the link ends, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from shardfleet_shard.core.frames import Nudge, Ping
from shardfleet_shard.net.packets import HandoffPacketManager
from shardfleet_shard.net.streams import DialedStream, StreamEnded

from .fleet import GRID, QUICK, SCHEMA, Fleet, Node, answer, eventually, offer

PACKETS = HandoffPacketManager(SCHEMA, GRID)
SHORT = replace(QUICK, hello_deadline_us=300_000)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b"\xff\xff\xff"], "not a frame"),
        ([PACKETS.to_bytes(Ping(sent_us=1))], "Ping before Hello"),
        ([], "no Hello within 0.3 s"),
    ],
)
async def test_what_comes_instead_of_hello_is_counted_and_refused(messages: list[bytes], reason: str) -> None:
    # Who says nothing is waited for no longer than that; who says something wrong needs not be quick.
    limits = QUICK if messages else SHORT
    async with Fleet(Node(0, limits=limits)) as fleet:
        (zero,) = fleet.nodes
        stream = DialedStream(zero.address)
        try:
            for message in messages:
                await stream.write(message)
            with pytest.raises(StreamEnded, match=reason):
                await stream.read()
            assert zero.manager.frames_refused == 1 and not zero.up
        finally:
            await stream.close()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (PACKETS.to_bytes(offer("arena-2")), "offer for a transfer of 'arena-2'"),
        (PACKETS.to_bytes(offer("arena-1", epoch=2)), "offer of epoch 2 over a link of epoch 1"),
        (PACKETS.to_bytes(answer("arena-1")), "answer for a transfer of 'arena-1'"),
        (b"\x0a\x0a", "not a frame"),
        (b"", "no kind that is known"),
    ],
)
async def test_a_wrong_frame_closes_the_link_with_its_reason(frame: bytes, reason: str) -> None:
    async with Fleet(Node(0)) as fleet:
        (zero,) = fleet.nodes
        one = Node(1)
        stream = DialedStream(zero.address)
        try:
            assert one.hello is not None
            await stream.write(PACKETS.to_bytes(one.hello))
            await eventually(lambda: zero.up)
            await stream.write(PACKETS.to_bytes(Nudge()))
            await stream.write(frame)
            with pytest.raises(StreamEnded, match=reason):
                while True:
                    await stream.read()
            await eventually(lambda: zero.downs)
            assert zero.frames == [("arena-1", 1, Nudge())]
            assert zero.manager.frames_refused == 1 and zero.manager.links_refused == 1
        finally:
            await stream.close()


async def test_a_message_over_8_mb_ends_the_link_and_nothing_else() -> None:
    async with Fleet(Node(0)) as fleet:
        (zero,) = fleet.nodes
        hello = PACKETS.to_bytes(Node(1).hello)  # type: ignore[arg-type]
        channel = grpc.aio.insecure_channel(zero.address)
        try:
            call = channel.stream_stream("/shardfleet.v1.Handoff/Link")()
            await call.write(hello)
            await eventually(lambda: zero.up)
            await call.write(bytes(9_000_000))
            await eventually(lambda: zero.downs)
            again = channel.stream_stream("/shardfleet.v1.Handoff/Link")()
            await again.write(hello)
            await eventually(lambda: zero.up)
            await again.write(PACKETS.to_bytes(Nudge()))
            await eventually(lambda: zero.frames)
        finally:
            await channel.close()


async def test_a_silent_peer_is_dropped() -> None:
    limits = replace(QUICK, silent_pings=5)
    async with Fleet(Node(0, limits=limits), Node(1)) as fleet:
        zero, one = fleet.nodes
        stream = DialedStream(zero.address)
        try:
            assert one.hello is not None
            await stream.write(PACKETS.to_bytes(one.hello))
            await eventually(lambda: zero.downs)
            assert zero.ups == [("arena-1", 1)]
            assert zero.downs == [("arena-1", "the peer is silent")]
        finally:
            await stream.close()


async def test_a_host_that_accepts_and_says_nothing_leaves_nothing_behind() -> None:
    # The kernel accepts the connection; nobody ever reads from it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await check_silent_host(f"127.0.0.1:{listener.getsockname()[1]}")


async def check_silent_host(address: str) -> None:
    async with Fleet(Node(0, limits=SHORT)) as fleet:
        (zero,) = fleet.nodes
        before = asyncio.all_tasks()
        zero.manager.set_peers({"arena-1": (address, 1, 1)}, {"arena-1"})
        await eventually(lambda: zero.manager.dials >= 3)
        assert zero.ups == [] and zero.manager.frames_refused >= 2
        await zero.manager.close()
        await eventually(lambda: not [task for task in asyncio.all_tasks() - before if "net/" in repr(task)])
