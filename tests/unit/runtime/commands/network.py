"""What happens to frames, and between whom."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from shardfleet_shard.core.frames import Offer

from .. import words
from ..world import World
from .registry import command, some

if TYPE_CHECKING:
    from ..interpreter import Interpreter


@command
def do_deliver(i: Interpreter, a: list[str]) -> None:
    """deliver OFFER [from a-0]"""
    chosen = i.world.take_frames(a[0], a[2] if len(a) > 2 else "")
    some(len(chosen))
    for sent in chosen:
        i.world.deliver(sent)


@command
def do_deliver_one(i: Interpreter, a: list[str]) -> None:
    """deliver-one OFFER: the oldest of them."""
    chosen = i.world.take_frames(a[0])
    some(len(chosen))
    i.world.frames = chosen[1:] + i.world.frames
    i.world.deliver(chosen[0])


@command
def do_drop(i: Interpreter, a: list[str]) -> None:
    """drop OFFER [from a-0]"""
    some(len(i.world.take_frames(a[0], a[2] if len(a) > 2 else "")))


@command
def do_double(i: Interpreter, a: list[str]) -> None:
    """double OFFER: one more of each is on its way."""
    chosen = [sent for sent in i.world.frames if words.kind_of(sent.frame) == a[0]]
    some(len(chosen))
    i.world.frames.extend(dataclasses.replace(sent) for sent in chosen)


@command
def do_damage(i: Interpreter, a: list[str]) -> None:
    """damage OFFER nan | ticks | cut | twice: what is on its way gets wrong."""
    some(sum(words.kind_of(sent.frame) == a[0] for sent in i.world.frames))
    for number, sent in enumerate(i.world.frames):
        if words.kind_of(sent.frame) == a[0]:
            assert isinstance(sent.frame, Offer)
            i.world.frames[number] = dataclasses.replace(sent, frame=_damaged(i.world, sent.frame, a[1]))


def _damaged(world: World, offer: Offer, how: str) -> Offer:
    rows = world.schema.unpack(offer.columns, offer.count).copy()
    match how:
        case "nan":
            rows.position[0, 0] = np.nan
        case "ticks":
            return dataclasses.replace(offer, switch_tick=offer.switch_tick + 1)
        case "cut":
            return dataclasses.replace(offer, columns=offer.columns[:-1])
        case "twice":
            rows.id[:] = rows.id[0]
        case _:
            raise ValueError(f"no damage {how!r}")
    return dataclasses.replace(offer, columns=rows.pack())


@command
def do_as_from(i: Interpreter, a: list[str]) -> None:
    """as-from a-2 OFFER: delivered by another shard's link."""
    chosen = i.world.take_frames(a[1])
    some(len(chosen))
    for sent in chosen:
        i.world.deliver(dataclasses.replace(sent, sender=i.world.find(a[0])))


@command
def do_cut(i: Interpreter, a: list[str]) -> None:
    i.world.cuts.add(frozenset(a))


@command
def do_link(i: Interpreter, a: list[str]) -> None:
    i.world.cuts.discard(frozenset(a))


@command
def do_stabilize(i: Interpreter, a: list[str]) -> None:
    """All requests and frames that wait, and what comes of them; no time passes."""
    i.world.settle_queues()
