/* Of takeover.pml: what there is more, and words for it. */
byte takeovers; /* that have happened; they are numbered from 0 */
bool take_entry[TAKEOVER];   /* in the taker's journal: the dead shard's rows and journal, by reference */
bool take_applied[TAKEOVER]; /* taken up by this very process */
byte taker[TAKEOVER];
byte take_version[TAKEOVER]; /* what that is to the taker; 0: nothing was held */
byte take_from[TAKEOVER];
byte take_base[TAKEOVER];    /* under which version the dead shard held it */
mtype:take = { HAS_NEWS, HAS_ASKED, HAS_READ }; /* the taker reads everyone's manifests and journals first */
mtype:take take_read[TAKEOVER] = HAS_NEWS;
bool take_settled[TAKEOVER]; /* the row was here when it asked, or the ledger gives it to another */
bool retargeted[TRANSFERS];  /* accepted, and the dead shard's to adopt: the taker's now */
#ifdef LIFE
byte take_despawn[TAKEOVER]; /* the despawn in the dead shard's journal: it counts as long as that is kept */
#endif

#ifdef WRONG_TAKER_FORGETS_WHAT_IT_HAS
#define IS_HERE(i, its_version) (false)
#else
#define IS_HERE(i, its_version) (version[i] >= (its_version))
#endif
#define TAKES(i, n) (take_entry[n] && taker[n] == (i))
#define WAITS(i, n) (TAKES(i, n) && !take_applied[n])
/* Entries of one entity stand in the order of its versions. */
#ifdef WRONG_TAKEOVER_TRIMMED_BEFORE_IT_IS_TAKEN_UP
#define BEHIND(i, its_version, n) (false)
#define TRIMS_ENTRY(i, n) (TAKES(i, n))
#else
#define BEHIND(i, its_version, n) (WAITS(i, n) && take_version[n] && take_version[n] < (its_version))
#define TRIMS_ENTRY(i, n) (TAKES(i, n) && take_applied[n] && ALL_APPLIED_BEFORE(i, n))
#endif
/* A journal is read in order: what it said before of a doubt is known. */
#define READ_BEFORE(y) (!journal_out[y] || !(IN_DOUBT(y) || outgoing[y] == WITHDRAWN))
#define APPLIED_BEFORE(i, n, y) (!ENTRY(i, y) || offered[y] + 1 >= take_version[n] || APPLIED(i, y))
#if TRANSFERS == 1
#define ALL_APPLIED_BEFORE(i, n) (APPLIED_BEFORE(i, n, 0))
#else
#define ALL_APPLIED_BEFORE(i, n) (APPLIED_BEFORE(i, n, 0) && APPLIED_BEFORE(i, n, 1))
#endif
#if TAKEOVER == 1
#define BEHIND_A_TAKEOVER(i, its_version) (BEHIND(i, its_version, 0))
#define TRIMS_TAKEOVER(i) (TRIMS_ENTRY(i, 0))
#define WAITS_FOR_ANY(i) (WAITS(i, 0))
#define NO_TAKEOVER_ENTRIES (!take_entry[0])
#else
#define BEHIND_A_TAKEOVER(i, its_version) (BEHIND(i, its_version, 0) || BEHIND(i, its_version, 1))
#define TRIMS_TAKEOVER(i) (TRIMS_ENTRY(i, 0) || TRIMS_ENTRY(i, 1))
#define WAITS_FOR_ANY(i) (WAITS(i, 0) || WAITS(i, 1))
#define NO_TAKEOVER_ENTRIES (!take_entry[0] && !take_entry[1])
#endif

#ifdef WRONG_TAKEOVER_WITHOUT_THE_LEASE
#define MAY_BE_TAKEN(s) (mode[s] != UP)
#else
#define MAY_BE_TAKEN(s) (mode[s] != UP && !OLD_LEASE_STANDS(s))
#endif
