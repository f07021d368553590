"""What ``make model`` checks: configurations that must hold, and known-wrong protocols that must not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One bounded world, searched exhaustively.

    Attributes:
        defines: the macros of docs/spec/handoff.pml, as ``NAME`` or ``NAME=number``.
        what: one line for the table.
    """

    name: str
    defines: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A protocol that lacks one rule.

    Attributes:
        macro: defined on top of the configuration's.
        configuration: the smallest one that finds it.
        breaks: the property, of ``PROPERTIES``, that Spin finds broken first.
        what: the rule that is missing.
    """

    macro: str
    configuration: str
    breaks: str
    what: str


EVERY_RUN_ENDS = "every_run_ends"
"""Said by the never-claim; the others are the names that docs/spec/properties.pml gives to its assertions."""
PROPERTIES = (
    "A1_one_simulator",
    "A2_every_shard_runs",
    "A2_nothing_lost",
    "A2_one_owner",
    "A2_nothing_frozen",
    "A3_no_record_left",
    "A5_order",
    "all_published",
    "all_applied_and_trimmed",
    "every_pair_in_the_table",
    EVERY_RUN_ENDS,
)


CONFIGURATIONS = tuple(
    Configuration(name=name, defines=tuple(defines.split()), what=what)
    for name, defines, what in (
        ("packets", "TRANSFERS=1", "one transfer, every loss, repetition and order of requests and frames"),
        ("crash", "TRANSFERS=1 CRASHES=2", "the same, and two crashes of either side at any step"),
        ("manifest", "TRANSFERS=1 CRASHES=1 LATE_PUBLISH", "the same with one crash, and manifests that are held up"),
        ("lease", "TRANSFERS=1 CRASHES=2 ZOMBIES=1", "two crashes, one of which leaves the old process running"),
        ("return", "TRANSFERS=2 CRASHES=2 ZOMBIES=1", "there and back, two such crashes, journals trimmed"),
        ("chain", "TRANSFERS=3 CRASHES=1", "there, back and there again, one crash"),
        ("three", "SHARDS=3 TRANSFERS=2 CRASHES=1", "three shards, two transfers to any of them, one crash"),
        ("three-lease", "SHARDS=3 TRANSFERS=2 CRASHES=1 ZOMBIES=1", "the same beside an old process"),
        ("takeover", "SHARDS=3 TRANSFERS=1 CRASHES=2 TAKEOVER", "a dead shard's rows go to another"),
        (
            "takeover-lease",
            "SHARDS=2 TRANSFERS=1 CRASHES=2 ZOMBIES=1 TAKEOVER",
            "the same between two shards, beside an old process",
        ),
        ("takeover-return", "TRANSFERS=2 CRASHES=2 TAKEOVER", "a row that was taken over goes on, and comes back"),
        ("takeover-twice", "SHARDS=3 TRANSFERS=1 CRASHES=2 TAKEOVER=2", "the taker is taken over as well"),
        ("takeover-life", "TRANSFERS=1 CRASHES=2 TAKEOVER LIFE=1", "of a shard with spawns and despawns"),
        ("life", "TRANSFERS=1 CRASHES=1 LIFE=2", "spawn, transfer, despawn, and the same id again"),
        ("life-return", "TRANSFERS=2 CRASHES=1 LIFE=1", "spawn, there and back, despawn, one crash"),
        ("life-three", "SHARDS=3 TRANSFERS=1 CRASHES=1 LIFE=2", "as life, three shards"),
        ("forget", "TRANSFERS=1 ROLL_CALL=1 CRASHES=1", "Redis falls back to any earlier moment; one crash"),
        ("forget-crash", "TRANSFERS=1 ROLL_CALL=1 CRASHES=2", "the same, two crashes"),
        (
            "forget-lease",
            "TRANSFERS=1 ROLL_CALL=1 CRASHES=2 ZOMBIES=1",
            "the same, and a shard that misses the roll-call",
        ),
        ("forget-twice", "TRANSFERS=1 ROLL_CALL=2", "twice, also in the middle of a roll-call"),
        ("wipe", "TRANSFERS=2 ROLL_CALL=1 WIPE", "there and back, Redis loses everything once"),
        ("wipe-crash", "TRANSFERS=1 ROLL_CALL=1 WIPE CRASHES=1", "the same once, and a crash after it"),
        ("forget-three", "SHARDS=3 TRANSFERS=1 ROLL_CALL=1 CRASHES=1", "as forget, three shards"),
        ("forget-chain", "SHARDS=3 TRANSFERS=2 ROLL_CALL=1", "the same, two transfers, no crash"),
        ("forget-life", "TRANSFERS=1 ROLL_CALL=1 CRASHES=1 LIFE=1", "as forget, with spawn and despawn"),
        ("forget-takeover", "TRANSFERS=1 ROLL_CALL=1 CRASHES=2 TAKEOVER", "as forget-crash, with a takeover"),
        ("forget-takeover-three", "SHARDS=3 TRANSFERS=1 ROLL_CALL=1 CRASHES=2 TAKEOVER", "the same, by a third shard"),
        (
            "forget-takeover-third",
            "SHARDS=3 TRANSFERS=1 ROLL_CALL=1 CRASHES=2 TAKEOVER BY_THE_THIRD",
            "the same, by the last of the three alone",
        ),
        ("wipe-three", "SHARDS=3 TRANSFERS=1 ROLL_CALL=1 WIPE CRASHES=1", "as wipe-crash, three shards"),
        ("ends-crash", "TRANSFERS=1 CRASHES=2 ZOMBIES=1 ENDS", "no endless run after the faults: as lease"),
        ("ends-takeover", "TRANSFERS=1 CRASHES=2 ZOMBIES=1 TAKEOVER ENDS", "the same, as takeover-lease"),
        ("ends-life", "TRANSFERS=1 CRASHES=1 LIFE=1 ENDS", "the same, with spawn and despawn"),
        ("ends-forget", "TRANSFERS=1 CRASHES=1 ROLL_CALL=1 ENDS", "the same, as forget"),
    )
)

VARIANTS = tuple(
    Variant(macro=f"WRONG_{macro}", configuration=configuration, breaks=breaks, what=what)
    for macro, configuration, breaks, what in (
        (
            "UNACKNOWLEDGED_DROP",
            "packets",
            "A2_nothing_lost",
            "the source drops the row at K, whatever the target said",
        ),
        ("ADOPT_BEFORE_ACCEPT", "packets", "A1_one_simulator", "the target adopts what Redis has not accepted"),
        ("CANCEL_WITHOUT_COMPARING", "packets", "A1_one_simulator", "CANCEL does not look at the state"),
        ("COMMIT_BY_EQUALITY", "packets", "A3_no_record_left", "a tick K that is skipped never switches"),
        ("CANCEL_LEAVES_NO_TRACE", "packets", "A1_one_simulator", "a late BEGIN brings a canceled transfer back"),
        (
            "MISSING_RECORD_MEANS_CANCELED",
            "packets",
            "A1_one_simulator",
            "a record that is not there is taken as canceled",
        ),
        (
            "READ_TAKEN_AS_PROMISE",
            "packets",
            "every_pair_in_the_table",
            "the target promises 'never' because it read 'started'",
        ),
        ("TARGET_FORGETS_ITS_OFFER", "packets", "A2_nothing_lost", "the target gives up an offer after a while"),
        ("WATCHDOG_CANCELS_ACCEPTED", "packets", "every_pair_in_the_table", "the watchdog undoes an accepted transfer"),
        (
            "CENSUS_RESTORES_FROM_TWO_MOMENTS",
            "packets",
            "A1_one_simulator",
            "a census restores from reads of two moments",
        ),
        ("NO_EPOCH_CHECK", "crash", "A1_one_simulator", "scripts do not compare epochs"),
        (
            "BOTH_EPOCHS_IN_EVERY_SCRIPT",
            "crash",
            "A3_no_record_left",
            "every script needs both epochs current, not ACCEPT alone",
        ),
        (
            "RECOVER_KEEPS_SOURCE_AS_HOLDER",
            "crash",
            "A3_no_record_left",
            "a recovered source stays a holder of what was accepted",
        ),
        (
            "RECOVERED_ROW_STARTS_BELOW_K",
            "crash",
            "A1_one_simulator",
            "a recovered row does not wait for the tick it came by",
        ),
        ("POSITION_COUNTS_UNAPPLIED_IN", "crash", "A2_nothing_lost", "a manifest trims an `in` that is not adopted"),
        (
            "POSITION_COUNTS_UNAPPLIED_OUT",
            "life",
            "A2_nothing_lost",
            "a manifest trims an `out` whose row is still here",
        ),
        ("OLDER_MANIFEST_OVER_NEWER", "manifest", "A2_nothing_lost", "a manifest that comes late replaces a newer one"),
        ("FROZEN_SOURCE_ONLY_WAITS", "packets", "A2_nothing_frozen", "a source whose row is frozen does not ask"),
        ("MANIFEST_ONLY_FOR_ROWS", "takeover-lease", "all_applied_and_trimmed", "no new row, no manifest, no trim"),
        ("TARGET_WAVERS", "ends-crash", "every_run_ends", "a target asks for ACCEPT again after REJECT"),
        ("VERSION_IS_NOT_RAISED", "packets", "A5_order", "a target takes the row under the source's version"),
        ("EMPTY_SHARD_PUBLISHES_NOTHING", "packets", "all_published", "a shard without rows publishes no manifest"),
        (
            "RECOVERY_WAITS_FOR_ITS_TRANSFERS",
            "crash",
            "A2_every_shard_runs",
            "a recovery waits until no record names the shard",
        ),
        ("NO_WAIT_FOR_THE_OLD_LEASE", "lease", "A1_one_simulator", "a successor does not wait for the old lease"),
        ("TAKEOVER_DOES_NOT_FENCE", "takeover", "A1_one_simulator", "a takeover does not raise the dead shard's epoch"),
        ("TAKEOVER_LEAVES_THE_JOURNAL", "takeover", "A2_nothing_lost", "a takeover moves the manifest's rows alone"),
        (
            "TAKEOVER_KEEPS_THE_DEAD_AS_HOLDER",
            "takeover",
            "A3_no_record_left",
            "the dead shard stays a holder of what it had adopted",
        ),
        (
            "TAKEN_ROW_STARTS_BELOW_K",
            "takeover",
            "A1_one_simulator",
            "a row that was taken over does not wait for its tick",
        ),
        ("TAKER_FORGETS_WHAT_IT_HAS", "forget-takeover", "A1_one_simulator", "what is here goes on, and comes back"),
        (
            "LEDGER_COUNTS_WHAT_WAS_TAKEN_AS_ANY_ROW",
            "forget-takeover-third",
            "A1_one_simulator",
            "a row that was taken over counts like a row of its new version",
        ),
        (
            "TAKER_DOES_NOT_COMPARE",
            "takeover-return",
            "A1_one_simulator",
            "a taker that recovers takes up again what it gave away",
        ),
        (
            "TAKEOVER_TRIMMED_BEFORE_IT_IS_TAKEN_UP",
            "takeover-lease",
            "A2_nothing_lost",
            "a manifest trims a takeover that is not taken up",
        ),
        ("TAKEOVER_WITHOUT_THE_LEASE", "takeover-lease", "A1_one_simulator", "a takeover does not look at the lease"),
        ("SPAWN_WITHOUT_REGISTRY", "life", "A2_one_owner", "a spawn that is executed twice spawns twice"),
        ("DESPAWN_OF_A_PASSING_ROW", "life", "A2_one_owner", "a row is despawned while it leaves"),
        ("ROW_GOES_BEFORE_THE_ANSWER", "life", "A2_nothing_lost", "a despawned row goes before Redis has said so"),
        ("NO_ROLL_CALL", "forget", "A1_one_simulator", "Redis forgets, and everyone goes on"),
        (
            "ROLL_CALL_SHORTER_THAN_A_LEASE",
            "forget-lease",
            "A1_one_simulator",
            "the roll-call ends before the lease of who missed it",
        ),
        ("OLD_FRAMES_TAKEN", "forget", "A2_nothing_lost", "frames of a former generation are taken"),
        ("OLD_ANSWERS_TAKEN", "forget", "A1_one_simulator", "answers of a former generation are taken after REJOIN"),
        ("OLD_REQUESTS_EXECUTED", "forget", "A1_one_simulator", "an ACCEPT of a former generation is executed"),
        ("SOURCE_DOES_NOT_REASSERT", "forget", "A2_nothing_lost", "a source does not say what it knows to be accepted"),
        (
            "TARGET_DOES_NOT_REASSERT",
            "forget",
            "A1_one_simulator",
            "a target does not say what it knows to be accepted",
        ),
        ("REJOIN_OVERWRITES_ROWS", "forget", "A2_nothing_lost", "REJOIN replaces what Redis has kept"),
        ("DESPAWN_IS_NOT_SAID_AGAIN", "forget-life", "A2_one_owner", "REJOIN does not name what was despawned"),
        ("ROLL_CALL_WITHOUT_ROWS", "wipe-crash", "A2_nothing_lost", "REJOIN does not name the shard's rows"),
        (
            "NOBODY_TAKES_UP_THE_UNCLAIMED",
            "forget",
            "A2_nothing_lost",
            "rows that nobody claims in the roll-call stay where they are",
        ),
        (
            "RECOVERY_DOES_NOT_COMPARE",
            "forget-crash",
            "A1_one_simulator",
            "a recovery does not look at the others' manifests and journals",
        ),
        ("ID_FREE_AT_ONCE", "life", "A2_one_owner", "a despawned id is spawned again while a journal has its despawn"),
    )
)

BY_NAME = {configuration.name: configuration for configuration in CONFIGURATIONS}
QUICK = ("packets", "takeover-lease", "WRONG_UNACKNOWLEDGED_DROP", "WRONG_TAKEOVER_TRIMMED_BEFORE_IT_IS_TAKEN_UP")
"""What runs within the tests, in seconds: the smallest, and one with the newest rules; a variant of each."""
