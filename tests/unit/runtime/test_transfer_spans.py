"""Which parts of a transfer both sides report, with which outcome, and that nothing is reported that is not sampled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from shardfleet_shard.core.frames import Offer
from shardfleet_shard.core.transfer import TransferId
from shardfleet_shard.core.transfer_spans import TransferSpan

from .interpreter import Interpreter
from .world import Process

CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CROSSING = ("shards a-0 a-1 a-2", "spawn 1 at 9.95,5 moving 4,0", "tick", "tick", "tick", "tick")


class Traced:
    """A scenario whose shards trace: a-0's transfers are sampled where ``sampled``."""

    def __init__(self, *, sampled: bool = True, tracing: Sequence[str] = ("a-0", "a-1")) -> None:
        self.scenario = Interpreter()
        self.spans: list[tuple[str, TransferSpan]] = []
        self.asked: list[tuple[TransferId, str, int]] = []
        self.scenario.execute(CROSSING[0])
        for process in self.scenario.world.processes:
            if process.shard in tracing:
                process.runtime.context.sample = self._sample if sampled else lambda *_: ""
            self._listen(process)
        for line in CROSSING[1:]:
            self.scenario.execute(line)

    def _sample(self, transfer: TransferId, target: str, entities: int, now_us: int) -> str:
        self.asked.append((transfer, target, entities))
        return CONTEXT

    def _listen(self, process: Process) -> None:
        take = process.runtime.take_effects

        def listen() -> object:
            effects = take()
            self.spans += [(process.shard, span) for span in effects.spans]
            return effects

        process.runtime.take_effects = listen  # type: ignore[assignment, method-assign]

    def execute(self, *lines: str) -> None:
        for line in lines:
            self.scenario.execute(line)

    def parts(self) -> dict[tuple[str, str], str]:
        """(shard, part) -> outcome; each at most once."""
        assert len({(shard, span.part) for shard, span in self.spans}) == len(self.spans)
        assert all(span.trace_context == CONTEXT and span.start_us <= span.end_us for _, span in self.spans)
        return {(shard, str(span.part)): span.outcome for shard, span in self.spans}


def test_a_transfer_from_begin_to_clear() -> None:
    traced = Traced()
    traced.execute("stabilize", "run 4", "stabilize")
    assert traced.asked == [(TransferId("a-0", traced.asked[0][0].epoch, 1), "a-1", 1)]
    parts = traced.parts()
    [clear] = [where for where in parts if where[1] == "clear"]
    assert clear[0] in ("a-0", "a-1")
    del parts[clear]
    assert parts == {
        ("a-0", "begin"): "",
        ("a-0", "offer"): "accepted",
        ("a-0", "switch"): "",
        ("a-0", "transfer"): "completed",
        ("a-1", "accept"): "accepted",
        ("a-1", "adopt"): "",
    }
    spans = {str(span.part): span for _, span in traced.spans}
    assert spans["transfer"].start_us == spans["begin"].start_us == spans["offer"].start_us
    assert spans["switch"].start_us == spans["offer"].end_us, "from the acceptance on it waits for the switch"
    assert spans["adopt"].start_us == spans["accept"].end_us
    assert spans["transfer"].end_us == max(span.end_us for shard, span in traced.spans if shard == "a-0")


def test_an_offer_that_is_refused() -> None:
    traced = Traced()
    traced.execute("damage OFFER cut", "stabilize")
    assert traced.parts() == {
        ("a-0", "begin"): "",
        ("a-0", "offer"): "rejected",
        ("a-0", "transfer"): "rejected",
        ("a-1", "accept"): "rejected",
    }


def test_a_claim_that_redis_refuses() -> None:
    traced = Traced()
    traced.execute("claim 1 a-2", "stabilize")
    assert traced.parts()["a-1", "accept"] == traced.parts()["a-0", "transfer"] == "rejected"


def test_an_offer_that_never_comes_is_canceled() -> None:
    traced = Traced()
    traced.execute("drop OFFER", "redis a-0 BEGIN", "run 2", "stabilize")
    assert traced.parts() == {
        ("a-0", "begin"): "",
        ("a-0", "offer"): "canceled",
        ("a-0", "transfer"): "canceled",
    }


def test_an_acceptance_that_is_learned_after_the_switch_tick() -> None:
    traced = Traced()
    traced.execute("redis a-0 BEGIN", "deliver OFFER", "redis a-1 ACCEPT", "drop ANSWER", "run 3", "stabilize", "run 2")
    traced.execute("stabilize")
    parts = traced.parts()
    assert parts["a-0", "offer"] == "accepted" and parts["a-0", "transfer"] == "completed"


@pytest.mark.parametrize("tracing", [("a-0", "a-1"), ("a-1",), ()])
def test_what_is_not_sampled_leaves_nothing(tracing: tuple[str, ...]) -> None:
    traced = Traced(sampled=False, tracing=tracing)
    offers = [sent.frame for sent in traced.scenario.world.frames if isinstance(sent.frame, Offer)]
    assert [offer.trace_context for offer in offers] == [""]
    traced.execute("stabilize", "run 4", "stabilize")
    assert traced.spans == []


def test_a_target_that_traces_nothing_takes_a_traced_offer_all_the_same() -> None:
    traced = Traced(tracing=("a-0",))
    traced.execute("stabilize", "run 4", "stabilize")
    assert {shard for shard, _ in traced.spans} == {"a-0"}
    assert traced.parts()["a-0", "transfer"] == "completed"
