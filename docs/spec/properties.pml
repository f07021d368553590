/* What must hold. The names before `||` stand in state.pml. */

/* A1. The ticks that a process may simulate the entity in: from `from` up to (not with) the end. A process may lag behind
   or run ahead as it likes, so two such ranges must not overlap, whatever tick each process is at. */
#define END(i) \
  (mode[i] != UP || version[i] == 0 -> 0 : \
   (leaving[i] == 0 -> FOREVER : (outgoing[leaving[i] - 1] == FROZEN -> 0 : K(leaving[i] - 1))))
#define OVERLAP(from_1, end_1, from_2, end_2) ((from_1) < (end_2) && (from_2) < (end_1))
#define BOTH_SIMULATE(i, j) OVERLAP(from[i], END(i), from[j], END(j))
#if ZOMBIES
#define OLD_END(i) (old_version[i] == 0 -> 0 : (old_leaving[i] == 0 -> FOREVER : K(old_leaving[i] - 1)))
#define OLD_SIMULATES_TOO(i, j) OVERLAP(old_from[i], OLD_END(i), from[j], END(j))
#define TWO_OLD(i, j) OVERLAP(old_from[i], OLD_END(i), old_from[j], OLD_END(j))
#else
#define OLD_SIMULATES_TOO(i, j) (false)
#define TWO_OLD(i, j) (false)
#endif
#define CLASH(i, j) (BOTH_SIMULATE(i, j) || OLD_SIMULATES_TOO(i, j) || OLD_SIMULATES_TOO(j, i) || TWO_OLD(i, j))

#define ALONE(i) (!OLD_SIMULATES_TOO(i, i))
#if SHARDS == 2
#define TWO_SIMULATORS (CLASH(0, 1) || !EVERY_SHARD(ALONE))
#else
#define TWO_SIMULATORS (CLASH(0, 1) || CLASH(0, 2) || CLASH(1, 2) || !EVERY_SHARD(ALONE))
#endif

#define OWNS(i) (version[i] > 0)
#if SHARDS == 2
#define OWNERS (OWNS(0) + OWNS(1))
#else
#define OWNERS (OWNS(0) + OWNS(1) + OWNS(2))
#endif
#define IS_UP(i) (mode[i] == UP)
#define NOT_LEAVING(i) (leaving[i] == 0)
#define IS_PUBLISHED(i) (manifest[i] == version[i])
#ifdef ROLL_CALL
#define VERSION_FITS (SUM(version) <= 1 + handoffs) /* Redis may have forgotten an acceptance that nobody heard of */
#else
#define VERSION_FITS (SUM(version) == 1 + handoffs)
#endif

proctype Monitor() {
end:
  do
  :: d_step { TWO_SIMULATORS -> assert(A1_one_simulator) }
  :: atomic { /* nothing can happen any more, and no fault, frame or watchdog is to be waited for */
       timeout ->
       assert(A2_every_shard_runs || EVERY_SHARD(IS_UP));
       assert(A2_nothing_lost || OWNERS >= EXPECTED_OWNERS);
       assert(A2_one_owner || OWNERS <= EXPECTED_OWNERS);
       assert(A2_nothing_frozen || EVERY_SHARD(NOT_LEAVING));
       assert(A3_no_record_left || ALL_TRANSFERS(RECORD_GONE));
       assert(A5_order || OWNERS == 0 || VERSION_FITS);
       assert(all_published || EVERY_SHARD(IS_PUBLISHED));
       assert(all_applied_and_trimmed ||
              ALL_TRANSFERS(JOURNAL_EMPTY) && LIFE_AT_REST && NO_TAKEOVER_ENTRIES && ROLL_AT_REST)
     };
     break
  od
}

#ifdef ENDS
/* No run goes on for ever once the faults have ended. Were there one, the state in which it goes round would never be at
   rest, and the assertions above would not be asked there. */
never {
  do
  :: !calm
  :: calm -> break
  od;
accept:
  do
  :: calm
  od
}
#endif
