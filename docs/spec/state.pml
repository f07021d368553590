/* Everything there is: what Redis holds, what each process remembers, what is on its way. */

#define NOBODY 255
#define FOREVER 99
/* Switch tick of transfer x. A transfer that begins later switches later; ticks between two switches make no difference,
   so tick K(x) stands for all of them up to the next. Shards tick as fast or slowly as they like. */
#define K(x) ((x) + 1)
#define BIT(shard) (1 << (shard))

/* --- Redis -------------------------------------------------------------------------------------------------------- */
mtype:record = { ABSENT, STARTED, ACCEPTED };
mtype:record record[TRANSFERS] = ABSENT;
bool decided[TRANSFERS];    /* sequence numbers that are canceled, rejected or cleared */
byte holders[TRANSFERS];    /* a bit each shard */
bool journal_in[TRANSFERS]; /* in the target's journal; gone once a manifest contains it */
bool journal_out[TRANSFERS]; /* in the source's */
byte manifest[SHARDS];      /* the row's version in the shard's manifest, 0: no row */
byte manifest_from[SHARDS]; /* ... and the first tick that this shard may simulate it in */

/* Epochs as what is asked of them: is the epoch in the transfer's id (or the target's in its offer) still the newest? */
bool source_current[TRANSFERS];
bool target_current[TRANSFERS];

/* --- what a transfer is, from BEGIN on ----------------------------------------------------------------------------- */
byte transfers; /* that have begun; they are numbered from 0 */
byte source[TRANSFERS];
byte target[TRANSFERS];
byte offered[TRANSFERS]; /* the row's version at the source; the target's is one more */

/* --- processes ----------------------------------------------------------------------------------------------------- */
mtype:mode = { DOWN, FENCING, REBUILT, UP };
mtype:mode mode[SHARDS] = DOWN;
byte version[SHARDS]; /* of the row here, 0: none */
byte from[SHARDS];    /* first tick that this process may simulate it in */
byte leaving[SHARDS]; /* 1 + the transfer by which it leaves, 0: it stays */

/* core/transfer.py has these two tables. KEPT also stands for 'no such transfer is open here', GONE is 'applied',
   CONTAINED is ADOPTED as a process knows it that has recovered with it. */
mtype:outgoing = { KEPT, OFFERED, FROZEN, WITHDRAWN, AGREED, GONE };
mtype:incoming = { UNHEARD, ASKED, REJECTING, DECLINED, REFUSED, AGREED_TO, ADOPTED, CONTAINED };
mtype:outgoing outgoing[TRANSFERS] = KEPT;
mtype:incoming incoming[TRANSFERS] = UNHEARD;
mtype:answer = { SILENCE, SAYS_STARTED, SAYS_ACCEPTED, SAYS_CANCELED, SAYS_DECIDED, SAYS_NOT_YET }; /* of a script */
bool says_never[TRANSFERS]; /* the frame 'rejected' is on its way from target to source */

/* A process that lives on beside its successor, until its lease ends: the row it had, and what it was about to adopt. */
#if ZOMBIES
bool old_lives[SHARDS];
byte old_version[SHARDS];
byte old_from[SHARDS];
byte old_leaving[SHARDS];
byte old_coming[SHARDS]; /* 1 + an accepted transfer that it has not adopted yet */
#define OLD_LIVES(i) (old_lives[i])
#else
#define OLD_LIVES(i) (false)
#endif

#ifdef LATE_PUBLISH
mtype:late = { NONE, ON_ITS_WAY, OLDER }; /* OLDER: another manifest has been stored meanwhile */
mtype:late late[SHARDS] = NONE;
byte late_version[SHARDS];
byte late_from[SHARDS];
byte late_trim[SHARDS];
#endif

/* Never true: what an assertion that names one of them is about, for Spin's message. */
bool A1_one_simulator, A2_every_shard_runs, A2_nothing_lost, A2_one_owner, A2_nothing_frozen, A3_no_record_left,
  A5_order, all_published, all_applied_and_trimmed, every_pair_in_the_table;

/* --- bookkeeping of the model itself ------------------------------------------------------------------------------- */
bool calm; /* faults have ended: no crash, no new transfer, and every frame that is still on its way is lost */
byte crashes = CRASHES;
#if ZOMBIES
byte zombies = ZOMBIES;
#endif
bool was_accepted[TRANSFERS];
byte handoffs; /* of this life */

#ifdef WRONG_NO_EPOCH_CHECK
#define CURRENT(epoch_is_current) (true)
#else
#define CURRENT(epoch_is_current) (epoch_is_current)
#endif

/* What the parts that a configuration may leave out say where they are left out. */
#ifndef ROLL_CALL
#define REDIS_SERVES (true)
#define FRAME_TAKEN(shard, x) (true)
#define REQUEST_TAKEN(x) (true)
#define ACCEPT_SERVED(x) (true)
#define OLD_LEASE_STANDS(i) (OLD_LIVES(i))
#define ROLL_LETS_BEGIN(i) (true)
#define TRIMS_HELD(i) (false)
#define ROLL_AT_REST (true)
#endif
#ifndef WIPE
#define MAY_CRASH (true)
#endif
#ifndef LIFE
#define EXPECTED_OWNERS 1
#define LIFE_LETS_BEGIN(i) (true)
#define TRIMS_LIFE(i) (false)
#define LIFE_AT_REST (true)
#endif
#ifndef TAKEOVER
#define BEHIND_A_TAKEOVER(i, its_version) (false)
#define TRIMS_TAKEOVER(i) (false)
#define NO_TAKEOVER_ENTRIES (true)
#endif

inline forget_memory(i) {
  version[i] = 0;
  from[i] = 0;
  leaving[i] = 0
}
