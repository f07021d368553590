"""The Lua scripts: loading them, and the one table from each request to its script, arguments and reply.

Every script gets prefix, joined generation, shard and epoch first; the table says what comes after. An answer is a
word (an outcome), a list that starts with ``refused`` or ``done``, or what ``decode`` of that request expects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ..core.census_requests import RemoveCopy, RestoreEntity
from ..core.journal_requests import Entries, Publish, ReadEntries, Tail
from ..core.repair_requests import Overdue, OverdueTransfer, ReadOverdue, Repair
from ..core.requests import (
    Accept,
    Adopted,
    Begin,
    Cancel,
    Claim,
    Done,
    Elect,
    Elected,
    Ended,
    Join,
    Joined,
    LinkLease,
    Member,
    Observe,
    Observed,
    Outcome,
    Recover,
    Recovered,
    Refused,
    RefusedReason,
    Reject,
    Released,
    Renew,
    Reopen,
    Reply,
    Request,
    Resign,
)
from ..core.roll_requests import CallRoll, Ready, Rejoin
from ..core.spawn_requests import Arrive, Despawn, Seed, Spawn, SpawnGroup
from ..core.takeover_requests import TakeOver
from ..core.transfer import TransferId
from .commands import INLINE_LIMIT_BYTES, STAGE_TTL_MS, Argument, Command
from .journal import entries_from_flat, rows_checksum
from .keys import FORMAT, link_pair
from .living import to_bitmaps
from .roll import rejoin, rolled, stage_statements

_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lua:
    """One script as Redis gets it."""

    name: str
    text: str
    sha: str


@cache
def load_lua(name: str) -> Lua:
    """``scripts/<name>.lua`` with its includes in place, each once."""
    folder = resources.files(__package__) / "scripts"
    included: set[str] = set()

    def read(part: str) -> str:
        included.add(part)
        text = (folder / f"{part}.lua").read_text("utf-8")
        return _INCLUDE.sub(lambda match: "" if match[1] in included else read(match[1]), text)

    text = read(name)
    return Lua(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def all_lua() -> tuple[Lua, ...]:
    """Every script that can be called."""
    folder = resources.files(__package__) / "scripts"
    names = sorted(file.name.removesuffix(".lua") for file in folder.iterdir() if file.name.endswith(".lua"))
    return tuple(load_lua(name) for name in names if not name.startswith("_"))


def script_command(
    name: str, prefix: str, generation: str, *arguments: Argument, shard: str = "", epoch: int = 0
) -> Command:
    """The EVALSHA of one script."""
    return ("EVALSHA", load_lua(name).sha, 0, prefix, generation, shard, epoch, *arguments)


# --- answers ---------------------------------------------------------------------------------------------------

_DONE = {outcome.value.encode(): Done(outcome=outcome) for outcome in Outcome}


def refusal(raw: Sequence[Any]) -> Refused:
    """From ['refused', reason, detail, wait_ms]."""
    reason = RefusedReason(raw[1].decode())
    # An id travels as its 8 bytes: Lua could not write every u64 in decimal.
    detail = str(int.from_bytes(raw[2], "little")) if reason is RefusedReason.DUPLICATE else raw[2].decode()
    return Refused(reason=reason, detail=detail, wait_ms=int(raw[3]))


def _done(raw: Any) -> Done:
    if isinstance(raw, bytes):
        return _DONE[raw]
    return Done(outcome=Outcome(raw[1].decode()), reason=raw[2].decode())


def _owner(text: bytes) -> tuple[str, int]:
    shard, _, epoch = text.decode().rpartition(" ")
    return shard, int(epoch or 0)


def _pairs(flat: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(flat[at].decode(), flat[at + 1]) for at in range(0, len(flat), 2)]


def _observed(raw: Sequence[Any]) -> Observed:
    run_id, layout, members, leases, claims, election, phase, origin_tick, arrivals_through, seeded, rests = raw
    found = []
    for (shard, text), lease in zip(_pairs(members), leases, strict=True):
        ordinal, epoch, address = text.decode().split(" ", 2)
        living = lease.decode() == epoch
        found.append(Member(shard=shard, ordinal=int(ordinal), epoch=int(epoch), address=address, living=living))
    return Observed(
        generation=run_id.decode(),
        layout=layout.decode(),
        members=tuple(sorted(found, key=lambda member: (member.ordinal, member.shard))),
        claims={path: _owner(claim) for path, claim in sorted(_pairs(claims))},
        owner=_owner(election),
        phase=phase.decode(),
        origin_tick=int(origin_tick),
        arrivals_through=int(arrivals_through),
        seeded=seeded == b"1",
        rests=_rests(rests),
    )


def _rests(text: bytes) -> tuple[tuple[int, int], ...]:
    numbers = [int(word) for word in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _joined(raw: Sequence[bytes]) -> Joined:
    return Joined(generation=raw[0].decode(), stored=raw[1].decode(), misfit=raw[2].decode())


def _recovered(raw: Sequence[Any]) -> Recovered:
    incoming = sorted(TransferId.parse(text.decode()) for text in raw[2])
    return Recovered(epoch=int(raw[0]), lease_left_ms=int(raw[1]), accepted_incoming=tuple(incoming))


def _elected(raw: Sequence[bytes]) -> Elected:
    return Elected(shard=raw[0].decode(), epoch=int(raw[1]))


def _entries(raw: Sequence[bytes]) -> Entries:
    return Entries(entries=entries_from_flat(raw, 5))


def _overdue(raw: Sequence[Any]) -> Overdue:
    found = [
        OverdueTransfer(
            transfer=TransferId.parse(raw[at].decode()),
            target=raw[at + 1].decode(),
            accepted=raw[at + 2] == b"accepted",
            held=bool(raw[at + 3]),
        )
        for at in range(0, len(raw), 4)
    ]
    return Overdue(transfers=tuple(found))


def _entries_with_rows(raw: Sequence[bytes]) -> Entries:
    return Entries(entries=entries_from_flat(raw, 6))


# --- requests --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """How one request becomes a call of ``lua`` and its raw answer a reply."""

    lua: str
    encode: Callable[[Any], tuple[Argument, ...]]
    decode: Callable[[Any], Reply] = _done

    def reply(self, raw: Any) -> Reply:
        if isinstance(raw, list) and raw and raw[0] == b"refused":
            return refusal(raw)
        return self.decode(raw)


def _nothing(_: Any) -> tuple[Argument, ...]:
    return ()


def _transfer(request: Adopted | Released | Repair) -> tuple[Argument, ...]:
    return (str(request.transfer),)


def _id(entity: int) -> bytes:
    return entity.to_bytes(8, "little")


def _begin(r: Begin) -> tuple[Argument, ...]:
    return (
        *(str(r.transfer), r.transfer.epoch, r.transfer.sequence, r.target, r.target_epoch, r.cell),
        *(r.transfer_time_us, r.switch_tick, r.count, r.ids, r.versions),
    )


def _accept(r: Accept) -> tuple[Argument, ...]:
    return (str(r.transfer), *r.transfer, r.cell, r.switch_tick, r.offer_tick, r.count, r.rows, rows_checksum(r.rows))


def _publish(r: Publish) -> tuple[Argument, ...]:
    inline = r.chunks if is_inline(r) else ()
    return (r.tick, r.position, r.header, r.read_after, len(r.chunks), *inline)


def _groups(groups: Sequence[SpawnGroup]) -> tuple[Argument, ...]:
    arguments: list[Argument] = [*to_bitmaps([group.ids for group in groups])]
    for group in groups:
        arguments += [group.cell, group.count, group.tick, group.tick - 1, group.rows, rows_checksum(group.rows)]
    return tuple(arguments)


def _restore(r: RestoreEntity) -> tuple[Argument, ...]:
    return (r.owner, _id(r.entity), r.version, r.tick, r.offer_tick, r.row, rows_checksum(r.row))


TABLE: dict[type, Script] = {
    Join: Script("join", lambda r: (FORMAT, r.schema_hash, r.schema, int(r.founds), *r.takes), _joined),
    Reopen: Script("reopen", lambda _: (FORMAT,)),
    Recover: Script("recover", lambda r: (r.ordinal, r.address, r.unix_us, r.schema_hash), _recovered),
    Renew: Script("renew", lambda r: (r.ttl_ms,)),
    Ended: Script("ended", _nothing),
    Claim: Script("claim", lambda r: (r.layout_version, *r.cells)),
    Resign: Script("resign", _nothing),
    Observe: Script("observe", _nothing, _observed),
    Begin: Script("begin", _begin),
    Accept: Script("accept", _accept),
    Reject: Script("reject", lambda r: (str(r.transfer), *r.transfer, r.reason)),
    Cancel: Script("cancel", lambda r: (str(r.transfer), r.transfer.epoch, r.transfer.sequence)),
    Adopted: Script("adopted", _transfer),
    Released: Script("released", _transfer),
    Publish: Script("publish", _publish, _entries),
    Tail: Script("tail", lambda r: (r.read_after,), _entries),
    ReadEntries: Script("read_entries", lambda r: r.ids, _entries_with_rows),
    Spawn: Script("spawn", lambda r: _groups(r.groups)),
    Seed: Script("seed", lambda r: (r.origin_tick, *_groups(r.groups))),
    Arrive: Script("arrive", lambda r: (r.after, r.through, *_groups(r.groups))),
    Despawn: Script("despawn", lambda r: (r.ids, r.versions)),
    Elect: Script("elect", lambda r: (r.ttl_ms,), _elected),
    LinkLease: Script("link_lease", lambda r: (link_pair(r.shard, r.peer), r.ttl_ms)),
    Repair: Script("repair", _transfer),
    RestoreEntity: Script("restore_entity", _restore),
    RemoveCopy: Script("remove_copy", lambda r: (r.shard, r.owner, _id(r.entity), r.tick)),
    CallRoll: Script("call_roll", lambda r: (FORMAT, r.call_ms), rolled),
    Rejoin: Script("rejoin", rejoin),
    Ready: Script("ready", lambda r: (r.sequence, *map(str, r.open))),
    ReadOverdue: Script("overdue", lambda r: (r.through_us,), _overdue),
    TakeOver: Script("takeover", lambda r: (r.gone, r.gone_epoch, r.unix_us)),
}
"""All of core/requests.py but ``ReadFleet``, which is a read a shard; see redis_store.py."""


def is_inline(request: Publish) -> bool:
    """Whether the chunks travel in the closing script itself."""
    return sum(map(len, request.chunks)) <= INLINE_LIMIT_BYTES


def stage_commands(request: Publish, prefix: str) -> list[Command]:
    """Puts the chunks where the closing script takes them from; none where they travel inline."""
    if is_inline(request):
        return []
    stem = f"{prefix}stage:{request.shard}:{request.epoch}:{request.tick}:"
    return [
        ("SET", f"{stem}{number}", chunk, "PX", STAGE_TTL_MS) for number, chunk in enumerate(request.chunks, start=1)
    ]


def commands_of(request: Request, prefix: str, generation: str) -> list[Command]:
    """What goes over the wire; the last command's answer is the request's."""
    script = TABLE[type(request)]
    call = script_command(
        script.lua,
        prefix,
        generation,
        *script.encode(request),
        shard=getattr(request, "shard", ""),
        epoch=getattr(request, "epoch", 0),
    )
    if isinstance(request, Publish):
        return [*stage_commands(request, prefix), call]
    return [*stage_statements(request, prefix), call] if isinstance(request, Rejoin) else [call]


def pack(command: Command) -> list[bytes]:
    """RESP; large arguments stay pieces of their own, so that nothing copies them here."""
    pieces: list[bytes] = []
    head = b"*%d\r\n" % len(command)
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        if len(data) > 4096:
            pieces += [head + b"$%d\r\n" % len(data), data]
            head = b"\r\n"
        else:
            head += b"$%d\r\n%b\r\n" % (len(data), data)
    pieces.append(head)
    return pieces
