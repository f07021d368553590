/* Words for what state.pml holds, used in several places. */

#if SHARDS == 2
#define EVERY_SHARD(property) (property(0) && property(1))
#define SUM(values) (values[0] + values[1])
#define STEPS_OF_EACH_SHARD(steps) steps(0) steps(1)
#else
#define EVERY_SHARD(property) (property(0) && property(1) && property(2))
#define SUM(values) (values[0] + values[1] + values[2])
#define STEPS_OF_EACH_SHARD(steps) steps(0) steps(1) steps(2)
#endif
#define HAS(x) (incoming[x] == ADOPTED || incoming[x] == CONTAINED)
#define ROW_STAYS(i) (version[i] && leaving[i] == 0)
#if TRANSFERS == 1
#define ALL_TRANSFERS(property) (property(0))
#elif TRANSFERS == 2
#define ALL_TRANSFERS(property) (property(0) && property(1))
#else
#define ALL_TRANSFERS(property) (property(0) && property(1) && property(2))
#endif
#define RECORD_GONE(x) (record[x] == ABSENT)
#define JOURNAL_EMPTY(x) (!journal_in[x] && !journal_out[x])

/* --- the journal's position (core/journal.py) */

/* Is entry y of shard i's journal applied? An `in` once its row is here, an `out` once its row has gone. */
#ifdef WRONG_POSITION_COUNTS_UNAPPLIED_OUT
#define OUT_APPLIED(y) (true)
#else
#define OUT_APPLIED(y) (outgoing[y] == GONE)
#endif
#ifdef WRONG_POSITION_COUNTS_UNAPPLIED_IN
#define IN_APPLIED(y) (true)
#else
#define IN_APPLIED(y) (HAS(y))
#endif

/* Something to publish: the row is another, or the journal's first entry is applied. A no-op would never come to rest. */
#define ENTRY(i, y) ((y) < transfers && (source[y] == (i) && journal_out[y] || target[y] == (i) && journal_in[y]))
#define APPLIED(i, y) \
  (!BEHIND_A_TAKEOVER(i, offered[y] + 1) && \
   (source[y] == (i) && journal_out[y] && OUT_APPLIED(y) || target[y] == (i) && journal_in[y] && IN_APPLIED(y)))
#if TRANSFERS == 1
#define CAN_TRIM(i) (ENTRY(i, 0) && APPLIED(i, 0))
#define ALL_APPLIED(i) (!ENTRY(i, 0) || APPLIED(i, 0))
#elif TRANSFERS == 2
#define CAN_TRIM(i) (ENTRY(i, 0) -> APPLIED(i, 0) : (ENTRY(i, 1) && APPLIED(i, 1)))
#define ALL_APPLIED(i) ((!ENTRY(i, 0) || APPLIED(i, 0)) && (!ENTRY(i, 1) || APPLIED(i, 1)))
#else
#define CAN_TRIM(i) \
  (ENTRY(i, 0) -> APPLIED(i, 0) : (ENTRY(i, 1) -> APPLIED(i, 1) : (ENTRY(i, 2) && APPLIED(i, 2))))
#endif
#define ROW_IS_NEWS(i) (manifest[i] != version[i] || (version[i] && manifest_from[i] != from[i]))

/* --- what a recovered shard may keep; top, top_owner: see fold() */

#define KEEPS(i, its_version) (top < (its_version) || (top == (its_version) && top_owner == i))
#ifdef WRONG_RECOVERY_DOES_NOT_COMPARE
#define RECOVERY_KEEPS(i, its_version) (true)
#else
#define RECOVERY_KEEPS(i, its_version) (KEEPS(i, its_version))
#endif
#ifdef WRONG_RECOVERED_ROW_STARTS_BELOW_K
#define RECOVERED_FROM(tick) (0)
#else
#define RECOVERED_FROM(tick) (tick)
#endif

#define IN_DOUBT(x) (outgoing[x] == OFFERED || outgoing[x] == FROZEN)
#define ASKING(x) (incoming[x] == ASKED || incoming[x] == REJECTING)
