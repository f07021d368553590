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
        what: the rule that is missing.
    """

    macro: str
    configuration: str
    what: str


def _configuration(name: str, defines: str, what: str) -> Configuration:
    return Configuration(name=name, defines=tuple(defines.split()), what=what)


CONFIGURATIONS = (
    _configuration("packets", "TRANSFERS=1", "one transfer, every loss, repetition and order of requests and frames"),
    _configuration("crash", "TRANSFERS=1 CRASHES=2", "the same, and two crashes of either side at any step"),
    _configuration(
        "manifest", "TRANSFERS=1 CRASHES=1 LATE_PUBLISH", "the same with one crash, and manifests that are held up"
    ),
    _configuration(
        "lease", "TRANSFERS=1 CRASHES=2 ZOMBIES=1", "two crashes, one of which leaves the old process running"
    ),
    _configuration("return", "TRANSFERS=2 CRASHES=2 ZOMBIES=1", "there and back, two such crashes, journals trimmed"),
    _configuration("chain", "TRANSFERS=3 CRASHES=1", "there, back and there again, one crash"),
    _configuration("three", "SHARDS=3 TRANSFERS=2 CRASHES=1", "three shards, two transfers to any of them, one crash"),
    _configuration("takeover", "SHARDS=3 TRANSFERS=1 CRASHES=2 TAKEOVER", "a dead shard's rows go to another"),
    _configuration(
        "takeover-lease",
        "SHARDS=2 TRANSFERS=1 CRASHES=2 ZOMBIES=1 TAKEOVER",
        "the same between two shards, beside an old process",
    ),
    _configuration("life", "TRANSFERS=1 CRASHES=1 LIFE=2", "spawn, transfer, despawn, and the same id again"),
    _configuration("life-return", "TRANSFERS=2 CRASHES=1 LIFE=1", "spawn, there and back, despawn, one crash"),
    _configuration("forget", "TRANSFERS=1 ROLL_CALL=1 CRASHES=1", "Redis falls back to any earlier moment; one crash"),
    _configuration("forget-crash", "TRANSFERS=1 ROLL_CALL=1 CRASHES=2", "the same, two crashes"),
    _configuration(
        "forget-lease", "TRANSFERS=1 ROLL_CALL=1 CRASHES=2 ZOMBIES=1", "the same, and a shard that misses the roll-call"
    ),
    _configuration("forget-twice", "TRANSFERS=1 ROLL_CALL=2", "twice, also in the middle of a roll-call"),
    _configuration("wipe", "TRANSFERS=2 ROLL_CALL=1 WIPE", "there and back, Redis loses everything once"),
    _configuration("wipe-crash", "TRANSFERS=1 ROLL_CALL=1 WIPE CRASHES=1", "the same once, and a crash after it"),
    _configuration("ends-crash", "TRANSFERS=1 CRASHES=2 ZOMBIES=1 ENDS", "no endless run after the faults: as lease"),
    _configuration("ends-takeover", "TRANSFERS=1 CRASHES=2 ZOMBIES=1 TAKEOVER ENDS", "the same, as takeover-lease"),
    _configuration("ends-forget", "TRANSFERS=1 CRASHES=1 ROLL_CALL=1 ENDS", "the same, as forget"),
)

VARIANTS = tuple(
    Variant(macro=f"WRONG_{macro}", configuration=configuration, what=what)
    for macro, configuration, what in (
        ("UNACKNOWLEDGED_DROP", "packets", "the source drops the row at K, whatever the target said"),
        ("ADOPT_BEFORE_ACCEPT", "packets", "the target adopts what Redis has not accepted"),
        ("CANCEL_WITHOUT_COMPARING", "packets", "CANCEL does not look at the state"),
        ("COMMIT_BY_EQUALITY", "packets", "a tick K that is skipped never switches"),
        ("CANCEL_LEAVES_NO_TRACE", "packets", "a late BEGIN brings a canceled transfer back"),
        ("MISSING_RECORD_MEANS_CANCELED", "packets", "a record that is not there is taken as canceled"),
        ("READ_TAKEN_AS_PROMISE", "packets", "the target promises 'never' because it read 'started'"),
        ("TARGET_FORGETS_ITS_OFFER", "packets", "the target gives up an offer after a while"),
        ("WATCHDOG_CANCELS_ACCEPTED", "packets", "the watchdog undoes an accepted transfer"),
        ("CENSUS_RESTORES_FROM_TWO_MOMENTS", "packets", "a census restores from reads of two moments"),
        ("NO_EPOCH_CHECK", "crash", "scripts do not compare epochs"),
        ("BOTH_EPOCHS_IN_EVERY_SCRIPT", "crash", "every script needs both epochs current, not ACCEPT alone"),
        ("RECOVER_KEEPS_SOURCE_AS_HOLDER", "crash", "a recovered source stays a holder of what was accepted"),
        ("RECOVERED_ROW_STARTS_BELOW_K", "crash", "a recovered row does not wait for the tick it came by"),
        ("POSITION_COUNTS_UNAPPLIED_IN", "crash", "a manifest trims an `in` that is not adopted"),
        ("POSITION_COUNTS_UNAPPLIED_OUT", "life", "a manifest trims an `out` whose row is still here"),
        ("OLDER_MANIFEST_OVER_NEWER", "manifest", "a manifest that comes late replaces a newer one"),
        ("NO_WAIT_FOR_THE_OLD_LEASE", "lease", "a successor does not wait for the old lease"),
        ("TAKEOVER_DOES_NOT_FENCE", "takeover", "a takeover does not raise the dead shard's epoch"),
        ("TAKEOVER_LEAVES_THE_JOURNAL", "takeover", "a takeover moves the manifest's rows alone"),
        ("TAKEOVER_KEEPS_THE_DEAD_AS_HOLDER", "takeover", "the dead shard stays a holder of what it had adopted"),
        ("TAKEN_ROW_STARTS_BELOW_K", "takeover", "a row that was taken over does not wait for its tick"),
        ("TAKEOVER_WITHOUT_THE_LEASE", "takeover-lease", "a takeover does not look at the lease"),
        ("SPAWN_WITHOUT_REGISTRY", "life", "a spawn that is executed twice spawns twice"),
        ("DESPAWN_OF_A_PASSING_ROW", "life", "a row is despawned while it leaves"),
        ("ROW_GOES_BEFORE_THE_ANSWER", "life", "a despawned row goes before Redis has said so"),
        ("NO_ROLL_CALL", "forget", "Redis forgets, and everyone goes on"),
        ("ROLL_CALL_SHORTER_THAN_A_LEASE", "forget-lease", "the roll-call ends before the lease of who missed it"),
        ("OLD_FRAMES_TAKEN", "forget", "frames of a former generation are taken"),
        ("OLD_ANSWERS_TAKEN", "forget", "answers of a former generation are taken after REJOIN"),
        ("OLD_REQUESTS_EXECUTED", "forget", "an ACCEPT of a former generation is executed"),
        ("SOURCE_DOES_NOT_REASSERT", "forget", "a source does not say what it knows to be accepted"),
        ("TARGET_DOES_NOT_REASSERT", "forget", "a target does not say what it knows to be accepted"),
        ("REJOIN_OVERWRITES_ROWS", "forget", "REJOIN replaces what Redis has kept"),
        ("ROLL_CALL_WITHOUT_ROWS", "wipe-crash", "REJOIN does not name the shard's rows"),
        ("NOBODY_TAKES_UP_THE_UNCLAIMED", "forget", "rows that nobody claims in the roll-call stay where they are"),
        ("RECOVERY_DOES_NOT_COMPARE", "forget-crash", "a recovery does not look at the others' manifests and journals"),
        ("ID_FREE_AT_ONCE", "life", "a despawned id is spawned again while a journal has its despawn"),
    )
)

BY_NAME = {configuration.name: configuration for configuration in CONFIGURATIONS}
QUICK = ("packets", "WRONG_UNACKNOWLEDGED_DROP")
"""What runs within the tests: one that must hold, and one that must not."""
