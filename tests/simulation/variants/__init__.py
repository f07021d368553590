"""Known-wrong protocols: each breaks one rule, on purpose, and the simulation must find it.

They are switched on from here alone: the product has no switch for them. Most were found by an exhaustive search over a
small model of the protocol before there was any code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import census, former, lives, rollcall, scripts, sides
from .patches import Patch


class Variant(NamedTuple):
    apply: Callable[[Patch], None]
    what: str
    seed: int
    """Of the generator: a run that finds it, below 5,000."""


VARIANTS: dict[str, Variant] = {
    "unacknowledged-drop": Variant(sides.unacknowledged_drop, "the source drops at the switch without an answer", 5),
    "adopting-before-accept": Variant(
        sides.adopting_before_accept, "the target adopts an offer that it only asked for", 3
    ),
    "cancel-without-cas": Variant(scripts.cancel_without_compare_and_set, "CANCEL takes back what was accepted", 4),
    "deadline-as-canceled": Variant(sides.deadline_taken_as_canceled, "no answer in time is taken for 'canceled'", 1),
    "frozen-thaw": Variant(sides.frozen_thaw_unasked, "frozen entities go on after a while, in doubt or not", 1477),
    "cancel-outranks": Variant(
        sides.cancel_outranks_acceptance, "an acceptance that comes during CANCEL is ignored", 5
    ),
    "offer-as-final": Variant(sides.offer_taken_as_final, "the target starts from the offered state as it is", 4),
    "recover-leaves-started": Variant(scripts.recover_leaves_started, "RECOVER cancels nothing", 42),
    "missing-as-canceled": Variant(
        scripts.cancel_of_missing_decides_nothing, "CANCEL of a missing record decides nothing", 52
    ),
    "late-begin-revives": Variant(
        scripts.late_begin_revives, "a BEGIN that comes late brings a decided transfer back", 52
    ),
    "no-epoch-check": Variant(scripts.no_epoch_check, "BEGIN and ACCEPT run whatever the epochs are", 0),
    "both-epochs-everywhere": Variant(
        scripts.both_epochs_in_every_script, "ADOPTED and RELEASED need both epochs current", 0
    ),
    "read-as-promise": Variant(sides.read_taken_as_promise, "a target that reads 'started' promises never", 258),
    "timeout-as-promise": Variant(sides.timeout_taken_as_promise, "a target whose ACCEPT timed out promises never", 14),
    "target-forgets": Variant(sides.target_forgets_offer, "a target whose ACCEPT timed out forgets the offer", 5),
    "version-not-raised": Variant(sides.version_not_raised, "a handoff leaves the version as it is", 0),
    "ticks-by-equality": Variant(sides.ticks_compared_by_equality, "switch ticks are compared by ==", 1),
    "position-counts-in": Variant(
        lives.position_counts_unapplied_in, "the manifest trims an 'in' that is not applied", 110
    ),
    "position-counts-out": Variant(
        lives.position_counts_unapplied_out, "the manifest trims an 'out' that is not applied", 92
    ),
    "older-manifest": Variant(scripts.older_manifest_over_newer, "an older manifest replaces a newer one", 669),
    "lease-not-waited-for": Variant(lives.lease_not_waited_for, "a successor does not wait for the old lease", 5),
    "lease-ignored": Variant(lives.lease_ignored, "a shard whose lease has run out goes on", 5),
    "lease-from-answer": Variant(
        lives.lease_counted_from_the_answer, "a lease counts from the answer to its renewal", 1446
    ),
    "recover-without-released": Variant(
        scripts.recover_without_released, "RECOVER leaves the shard among the holders", 2
    ),
    "recovery-alone": Variant(
        lives.recovery_without_comparing, "a recovery does not look at the others' manifests and journals", 92
    ),
    "recovered-below-switch": Variant(
        lives.recovered_tick_below_switch, "a recovered shard simulates ticks below K", 18
    ),
    "takeover-dead-holder": Variant(lives.takeover_keeps_the_dead_as_holder, "who was taken over stays a holder", 3236),
    "takeover-leaves-journal": Variant(lives.takeover_leaves_the_journal, "only the manifest is taken over", 16),
    "takeover-trimmed": Variant(
        lives.takeover_trimmed_before_it_is_taken_up, "the manifest trims a takeover that is not taken up", 105
    ),
    "taken-below-switch": Variant(lives.taken_rows_below_switch, "a taker simulates ticks below K", 16),
    "no-roll-call": Variant(rollcall.no_roll_call, "Redis forgets, and everybody goes on", 3),
    "short-roll-call": Variant(rollcall.roll_call_shorter_than_a_lease, "a roll-call shorter than a lease", 24),
    "said-no-transfers": Variant(rollcall.nothing_said_of_transfers, "REJOIN says nothing of accepted transfers", 2),
    "said-no-rows": Variant(rollcall.nothing_said_of_rows, "REJOIN does not name the shard's rows", 7),
    "no-shadows": Variant(rollcall.no_shadows, "a source forgets released rows at once", 2),
    "watchdog-cancels-accepted": Variant(
        scripts.watchdog_cancels_accepted, "the watchdog cancels accepted transfers", 232
    ),
    "census-two-moments": Variant(census.restores_from_two_moments, "a census restores from reads of two moments", 168),
    "old-epochs": Variant(
        former.other_scripts_of_any_epoch, "all scripts but BEGIN and ACCEPT run whatever the epoch is", 22
    ),
    "old-requests": Variant(former.requests_of_any_generation, "requests of a former generation are executed", 27),
    "old-answers": Variant(former.answers_of_any_generation, "answers of a former generation are believed", 1079),
    "rejoin-overwrites-rows": Variant(rollcall.rejoin_overwrites_rows, "REJOIN replaces what Redis has kept", 14),
    "rejoin-overwrites-records": Variant(
        rollcall.rejoin_overwrites_records, "REJOIN asserts what Redis knows to have ended", 73
    ),
}
