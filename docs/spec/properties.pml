/* What must hold. */

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

#if SHARDS == 2
#define TWO_SIMULATORS (CLASH(0, 1) || OLD_SIMULATES_TOO(0, 0) || OLD_SIMULATES_TOO(1, 1))
#define OWNERS ((version[0] > 0) + (version[1] > 0))
#define ALL_UP (mode[0] == UP && mode[1] == UP)
#define NONE_LEAVES (leaving[0] == 0 && leaving[1] == 0)
#define OWNED_VERSION (version[0] + version[1])
#define PUBLISHED (manifest[0] == version[0] && manifest[1] == version[1])
#else
#define TWO_SIMULATORS \
  (CLASH(0, 1) || CLASH(0, 2) || CLASH(1, 2) || OLD_SIMULATES_TOO(0, 0) || OLD_SIMULATES_TOO(1, 1) || OLD_SIMULATES_TOO(2, 2))
#define OWNERS ((version[0] > 0) + (version[1] > 0) + (version[2] > 0))
#define ALL_UP (mode[0] == UP && mode[1] == UP && mode[2] == UP)
#define NONE_LEAVES (leaving[0] == 0 && leaving[1] == 0 && leaving[2] == 0)
#define OWNED_VERSION (version[0] + version[1] + version[2])
#define PUBLISHED (manifest[0] == version[0] && manifest[1] == version[1] && manifest[2] == version[2])
#endif

#ifndef EXPECTED_OWNERS
#define EXPECTED_OWNERS 1
#endif
#ifdef ROLL_CALL
#define VERSION_FITS (OWNED_VERSION <= 1 + handoffs) /* Redis may have forgotten an acceptance that nobody heard of */
#else
#define VERSION_FITS (OWNED_VERSION == 1 + handoffs)
#endif
#ifndef AT_REST
#define AT_REST (true)
#endif

proctype Monitor() {
end:
  do
  :: d_step { TWO_SIMULATORS -> assert(false) } /* A1 */
  :: atomic { /* nothing can happen any more, and no fault, frame or watchdog is to be waited for */
       timeout ->
       assert(ALL_UP);
       assert(OWNERS == EXPECTED_OWNERS && NONE_LEAVES); /* A2 */
       assert(ALL_TRANSFERS(RECORD_GONE)); /* A3 */
       assert(OWNERS == 0 || VERSION_FITS); /* A5 */
       assert(PUBLISHED && ALL_TRANSFERS(JOURNAL_EMPTY) && AT_REST)
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
