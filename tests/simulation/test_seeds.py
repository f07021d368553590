"""A slice of the seeds that ``make simulate`` runs, and that the machinery around them does what it says."""

from pathlib import Path

import pytest

from . import campaign
from .__main__ import main
from .campaign import STRIKING, Totals
from .faults import Fault
from .plan import FIRST_FAULT_US, Plan, make_plan
from .runs import Failure, run_plan
from .shrink import shrink
from .trace import trace_lines
from .variants import VARIANTS

SEEDS = range(50)


def test_a_slice_of_the_seeds_holds() -> None:
    totals = Totals(first=SEEDS.start, next_seed=SEEDS.start)
    for seed in SEEDS:
        totals.add(run_plan(make_plan(seed)), 0.0)
    assert not totals.complaints()
    assert set(totals.kinds) == set(STRIKING), "each kind of fault strikes at least once"


@pytest.mark.parametrize("seed", [69_934, 83_059, 97_775])
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    assert run_plan(make_plan(seed)).failure is None


def test_the_page_says_how_many_that_is() -> None:
    assert f"runs {len(SEEDS)} of the seeds" in Path(__file__).with_name("README.md").read_text()


def test_one_seed_makes_one_run() -> None:
    first, again, other = (run_plan(make_plan(seed)) for seed in (7, 7, 8))
    assert first == again
    assert first.digest != other.digest
    assert Plan.from_dict(make_plan(7).to_dict()) == make_plan(7)


def test_a_calm_run_has_nothing_to_find() -> None:
    calm = Plan(seed=1, shards=3)
    result = run_plan(calm)
    assert result.failure is None
    assert result.completed > 20
    assert not result.kinds


def test_a_failure_is_shrunk_and_traced() -> None:
    with campaign.wrong("unacknowledged-drop"):
        plan = make_plan(VARIANTS["unacknowledged-drop"].seed or 0)
        failure = run_plan(plan).failure
        assert failure is not None
        smaller = shrink(plan, failure, tries=12)
        broken = run_plan(smaller).failure
        assert broken is not None and broken.rule == failure.rule
        assert len(smaller.faults) < len(plan.faults)
        lines = trace_lines(smaller, broken)
    assert any("simulates" in line for line in lines)
    assert any("release" in line for line in lines)


def test_shrinking_keeps_what_breaks_the_rule() -> None:
    plan = next(plan for plan in map(make_plan, range(100)) if sum(f.kind == "crash" for f in plan.faults) == 1)

    def breaks(plan: Plan) -> Failure | None:
        crashes = any(fault.kind == "crash" for fault in plan.faults)
        return Failure(rule="A2", message="") if crashes and plan.shards > 2 else None

    wide = Plan.from_dict({**plan.to_dict(), "shards": 4})
    smaller = shrink(wide, Failure(rule="A2", message=""), run=breaks)
    assert [fault.kind for fault in smaller.faults] == ["crash"]
    assert (smaller.shards, smaller.entities, smaller.small_offsets) == (3, 1, False)
    assert smaller.faulty_us <= max(FIRST_FAULT_US, max(f.at_us + f.patience_us for f in smaller.faults)) + 1


def test_too_few_transfers_faults_or_pairs_are_red() -> None:
    result = run_plan(make_plan(5))
    totals = Totals(first=5, next_seed=5)
    totals.add(result, 0.1)
    assert not totals.complaints()
    totals.completed, totals.struck = 19, 2
    assert ["fewer than 20" in c or "fewer than 3" in c for c in totals.complaints()] == [True, True]
    totals.next_seed = 5 + campaign.PAIRS_FROM_SEEDS
    totals.completed = totals.struck = 1_000_000
    missing = [c for c in totals.complaints() if c.startswith("never hit: ")]
    assert len(missing) == len(campaign.PAIRS) - sum(count > 0 for count in totals.pairs.values())


def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state.json"
    run = ["run", "--from", "4", "--state", str(state), "--processes", "1"]
    assert main([*run, "--seeds", "2"]) == 0
    assert main([*run, "--seeds", "4", "--figures", str(tmp_path / "f.md")]) == 0
    totals = Totals.load(state)
    assert (totals.first, totals.next_seed) == (4, 8)
    assert "| runs | 4 |" in (tmp_path / "f.md").read_text()
    assert main(["run", "--from", "9", "--state", str(state)]) == 2
    assert "begins at seed 4" in capsys.readouterr().err


@pytest.mark.parametrize("amount", range(0, 7, 2))
def test_a_fault_that_strikes_after_all_had_converged_has_its_own_bound(amount: int) -> None:
    crash = Fault(kind="crash", at_us=2_999_000, amount=amount)
    result = run_plan(Plan(seed=3, entities=1, faults=(crash,)))
    assert result.failure is None
    assert result.kinds["crash"] == 1


def test_a_drained_shard_that_is_told_to_settle_before_it_has_handed_over_is_started_again() -> None:
    faults = tuple(
        Fault(kind=kind, number=number, at_us=2_000_000 + 30_000 * number, shard=1)
        for number, kind in enumerate(["drained", "settled"])
    )
    result = run_plan(Plan(seed=3, shards=3, faults=faults))
    assert result.failure is None
