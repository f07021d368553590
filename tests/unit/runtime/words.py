"""How a scenario names things: epochs by the number of the life, ticks from the scenario's own zero."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from shardfleet_shard.core.frames import Answer, Final, Frame, Offer
from shardfleet_shard.core.journal_requests import Entries, Publish
from shardfleet_shard.core.ledger import entry_rows
from shardfleet_shard.core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Done,
    Recover,
    Recovered,
    Refused,
    Reject,
    Released,
    Reply,
    Request,
)
from shardfleet_shard.core.roll_requests import Rejoin, Statement
from shardfleet_shard.core.spawn_requests import Arrive, Despawn
from shardfleet_shard.core.trace_events import TraceEvent
from shardfleet_shard.core.transfer import TransferId

if TYPE_CHECKING:
    from .world import Process, World

_LONG = re.compile(r"\d{15,}")
_VERBS = {"adopt": "adopts", "release": "releases", "freeze": "freezes", "unfreeze": "unfreezes"}


def kind_of(value: Request | Frame) -> str:
    """BEGIN, ACCEPT ... of a request, OFFER, ANSWER ... of a frame."""
    return type(value).__name__.upper()


def scrub(world: World, text: str) -> str:
    """Epochs (16 digits) become the number of the life that has them."""
    lives = {str(p.runtime.context.epoch): str(p.life) for p in world.processes if p.runtime.context.epoch}
    return _LONG.sub(lambda match: lives.get(match[0], "next"), text)


def of_transfer(world: World, transfer: TransferId) -> str:
    return scrub(world, str(transfer))


def of_tick(world: World, tick: int) -> str:
    return str(tick - world.zero_tick)


def of_rows(ids: Any, versions: Any) -> str:
    """``1v2 7v1``; '-' for none."""
    pairs = sorted(zip(np.asarray(ids).tolist(), np.asarray(versions).tolist(), strict=True))
    return " ".join(f"{entity}v{version}" for entity, version in pairs) or "-"


def of_request(world: World, request: Request, *, short: bool = False) -> str:
    text = kind_of(request)
    match request:
        case Begin() | Accept() | Reject() | Cancel() | Adopted() | Released():
            text += f" {of_transfer(world, request.transfer)}"
        case Despawn():
            ids, versions = np.frombuffer(request.ids, "<u8"), np.frombuffer(request.versions, "<u4")
            text += f" {of_rows(ids, versions)}"
        case Publish():
            text += f" as of {of_tick(world, request.tick)}"
        case Arrive():
            offset = world.processes[0].runtime.context.origin_tick - world.zero_tick
            text += f" {request.after + 1 + offset}..{request.through + offset}"
        case Recover():
            text += f" {request.shard}"
        case Rejoin():
            text += f" {request.shard}" + ("" if request.lease_ms else " without a lease")
    if short:
        return text
    match request:
        case Begin():
            text += f" to {request.target}, {request.count} rows, switch at {of_tick(world, request.switch_tick)}"
        case Accept():
            text += f" of cell {request.cell}"
        case Reject():
            text += f": {request.reason}"
        case Rejoin():
            said = [_of_statement(world, request.shard, statement) for statement in request.statements]
            text += f": {', '.join(said) or 'nothing'}"
        case Arrive():
            arriving = [entity for group in request.groups for entity in np.frombuffer(group.ids, "<u8").tolist()]
            ticks = sorted({of_tick(world, group.tick) for group in request.groups}, key=int)
            text += f": {' '.join(map(str, sorted(arriving)))} from tick {' '.join(ticks)}" if arriving else ": nobody"
    return text


def _of_statement(world: World, shard: str, statement: Statement) -> str:
    entry = statement.entry
    where = "" if statement.owner == shard else f" for {statement.owner}"
    transfer = f" {of_transfer(world, entry.transfer)}" if entry.transfer is not None else ""
    return f"{entry.kind}{transfer}{where} {of_rows(*entry_rows(entry))}"


def of_reply(world: World, reply: Reply | None) -> str:
    match reply:
        case None:
            return "no answer"
        case Done():
            return f"{reply.outcome}" + (f" ({scrub(world, reply.reason)})" if reply.reason else "")
        case Refused():
            detail = scrub(world, reply.detail)
            return f"refused: {reply.reason}" + (f" ({detail})" if detail else "")
        case Recovered():
            coming = " ".join(of_transfer(world, transfer) for transfer in reply.accepted_incoming)
            parts = ["a new epoch"]
            parts += [f"the old lease stands for {reply.lease_left_ms} ms"] if reply.lease_left_ms else []
            parts += [f"to be adopted: {coming}"] if coming else []
            return ", ".join(parts)
        case Entries():
            return f"stored, {len(reply.entries)} new entries"
    return type(reply).__name__


def of_frame(world: World, frame: Frame, *, short: bool = False) -> str:
    text = kind_of(frame)
    match frame:
        case Offer() | Final() | Answer():
            text += f" {of_transfer(world, frame.transfer)}"
    match frame:
        case Answer():
            text += " accepted" if frame.accepted else f" rejected ({scrub(world, frame.reason)})"
        case Offer() if not short:
            text += f" as of {of_tick(world, frame.offer_tick)}"
        case Final() if not short:
            text += f" as of {of_tick(world, frame.tick)}"
    return text


def of_event(world: World, process: Process, event: TraceEvent) -> str:
    rows = of_rows(event.ids, event.versions)
    if rows == "-":
        return ""
    text = f"{process.name} {_VERBS.get(event.kind, event.kind + 's')} {rows} at {of_tick(world, event.tick)}"
    if event.kind == "adopt":
        detail = event.detail
        if "switch_tick" in detail:
            text += f", due at {of_tick(world, detail['switch_tick'])}"
        text += f", from its {detail['origin']}"
        if "state_tick" in detail:
            text += f" of {of_tick(world, detail['state_tick'])}"
    return text
