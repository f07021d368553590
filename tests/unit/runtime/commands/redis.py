"""What Redis does, forgets and holds up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import words
from .registry import command, some

if TYPE_CHECKING:
    from shardfleet_shard.core.requests import Request

    from ..interpreter import Interpreter
    from ..world import Process


def waiting(i: Interpreter, a: list[str]) -> tuple[Process, list[Request]]:
    """Of the process that ``a`` names first, the requests of the kind that it names then, taken out of its queue."""
    process = i.world.find(a[0])
    requests = i.world.take_requests(process, a[1])
    some(len(requests))
    return process, requests


@command
def do_redis(i: Interpreter, a: list[str]) -> None:
    """redis a-0 [BEGIN]: carries out what waits, and answers."""
    some(i.world.ask(i.world.find(a[0]), a[1] if len(a) > 1 else ""))


@command
def do_lose_request(i: Interpreter, a: list[str]) -> None:
    """lose-request a-0 BEGIN: never carried out, and no answer."""
    process, requests = waiting(i, a)
    for request in requests:
        i.world.answer(process, request, None)


@command
def do_lose_answer(i: Interpreter, a: list[str]) -> None:
    """lose-answer a-0 CANCEL: carried out, and no answer."""
    process, requests = waiting(i, a)
    for request in requests:
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: "
              f"{words.of_reply(i.world, i.world.execute(process, request))}")  # fmt: skip
        i.world.answer(process, request, None)


@command
def do_execute(i: Interpreter, a: list[str]) -> None:
    """execute a-0 BEGIN: carried out; the answer waits for `answer`."""
    process, requests = waiting(i, a)
    for request in requests:
        reply = i.world.execute(process, request)
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {words.of_reply(i.world, reply)}")
        process.executed.append((request, reply))


@command
def do_execute_again(i: Interpreter, a: list[str]) -> None:
    """execute-again a-0 BEGIN: what waits is carried out, and stays in the queue."""
    process = i.world.find(a[0])
    requests = [request for request in process.requests if words.kind_of(request) == a[1]]
    some(len(requests))
    for request in requests:
        reply = words.of_reply(i.world, i.world.execute(process, request))
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {reply}")


@command
def do_answer(i: Interpreter, a: list[str]) -> None:
    """answer a-0 BEGIN: the answers of what was executed."""
    process = i.world.find(a[0])
    pairs = [pair for pair in process.executed if words.kind_of(pair[0]) == a[1]]
    some(len(pairs))
    process.executed = [pair for pair in process.executed if pair not in pairs]
    for request, reply in pairs:
        i.world.answer(process, request, reply)


@command
def do_put_aside(i: Interpreter, a: list[str]) -> None:
    """put-aside a-0 BEGIN: it is on its way for long; see `arrive-late`."""
    process, requests = waiting(i, a)
    i.aside += [(process, request) for request in requests]


@command
def do_arrive_late(i: Interpreter, a: list[str]) -> None:
    """What was put aside is carried out; nobody waits for an answer any more."""
    some(len(i.aside))
    for process, request in i.aside:
        reply = words.of_reply(i.world, i.world.execute(process, request))
        i.say(f"Redis says to {words.of_request(i.world, request, short=True)}: {reply}")
    i.aside.clear()


@command
def do_redis_away(i: Interpreter, a: list[str]) -> None:
    """redis-away a-0: from now on it gets no answer at all."""
    i.world.find(a[0]).redis_away = True


@command
def do_redis_back(i: Interpreter, a: list[str]) -> None:
    i.world.find(a[0]).redis_away = False


@command
def do_remember(i: Interpreter, a: list[str]) -> None:
    """What Redis has now, for `forget`."""
    i.snapshot = i.world.store.snapshot()


@command
def do_forget(i: Interpreter, a: list[str]) -> None:
    """forget [all]: Redis restarts as it was at `remember`, or without any data."""
    if a == ["all"]:
        i.world.store.wipe()
    else:
        assert i.snapshot is not None, "nothing is remembered"
        i.world.store.restore(i.snapshot)


@command
def do_restart(i: Interpreter, a: list[str]) -> None:
    """Redis restarts, with all data."""
    i.world.store.restart()


@command
def do_roll_call(i: Interpreter, a: list[str]) -> None:
    """roll-call [a-0 ...]: ticks, everything carried out, until these, or all, are through; says what comes of it."""
    processes = i.named(a)
    i.world.quiet, i.world.tells_roll_call = True, True
    for _ in range(100):
        i.world.tick(list(i.world.living))
        i.world.settle_queues(held=True)
        runtimes = [process.runtime for process in processes if not process.dead]
        run_id = i.world.store.run_id
        if not any(runtime.roll_call.on or runtime.context.generation != run_id for runtime in runtimes):
            break
    else:
        raise AssertionError("the roll-call does not end")
    i.world.quiet = i.world.tells_roll_call = False


@command
def do_publish(i: Interpreter, a: list[str]) -> None:
    """publish a-0: stores its manifest now, and reads on in its journal."""
    process = i.world.find(a[0])
    process.runtime.telemetry.publish(process.runtime.context.current_tick)
    i.world.carry(process)
    some(i.world.ask(process, "PUBLISH"))


@command
def do_publish_due(i: Interpreter, a: list[str]) -> None:
    """publish-due a-0: its telemetry interval is over, so its next tick publishes if it can."""
    i.world.find(a[0]).runtime.telemetry.next_publish_us = 0


@command
def do_read(i: Interpreter, a: list[str]) -> None:
    """read a-0: it reads its journal."""
    i.world.read_journal(i.world.find(a[0]))


@command
def do_claim(i: Interpreter, a: list[str]) -> None:
    """claim 1 a-2: Redis has this claim now, whoever may be meant to have it."""
    i.world.store.state.claims[a[0]] = (a[1], i.world.find(a[1]).runtime.context.epoch)


@command
def do_claims(i: Interpreter, a: list[str]) -> None:
    """As Redis has them."""
    for path, (shard, _) in sorted(i.world.store.state.claims.items()):
        i.say(f"{path} {shard}")


@command
def do_phase(i: Interpreter, a: list[str]) -> None:
    """phase settle: the whole fleet, as `local up` says at its end."""
    i.world.store.state.phase = a[0]
