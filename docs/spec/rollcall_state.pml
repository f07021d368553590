/* Of rollcall.pml: what there is more, and words for it. */
mtype:roll = { OPEN, CALLING, CLOSED };
mtype:roll roll = OPEN;
bool said[SHARDS];  /* REJOIN */
bool ready[SHARDS]; /* has read, and acted on it */
byte held[SHARDS];  /* entry `held` of the shard's journal: its row's version as of REJOIN, 0: none */
byte held_from[SHARDS];
bool outdated[TRANSFERS]; /* its BEGIN and its frames are of a former generation */
bool says_accepted[TRANSFERS]; /* the frame is on its way */
mtype:answer late_accept[TRANSFERS] = SILENCE; /* answers that are on their way */
mtype:answer late_cancel[TRANSFERS] = SILENCE;
byte losses = ROLL_CALL; /* how often Redis may still lose something */
#if ZOMBIES
bool lease_forgotten[SHARDS]; /* of an old process that Redis knows nothing of any more */
#endif

/* What the disk holds: as it was at some moment since the last loss. */
bool on_disk;
mtype:record disk_record[TRANSFERS] = ABSENT;
bool disk_decided[TRANSFERS];
byte disk_holders[TRANSFERS];
bool disk_in[TRANSFERS];
bool disk_out[TRANSFERS];
byte disk_manifest[SHARDS];
byte disk_from[SHARDS];
byte disk_held[SHARDS];
byte disk_held_from[SHARDS];
#ifdef LIFE
bool disk_alive;
bool disk_id_taken;
bool disk_spawn[SHARDS];
byte disk_despawn[SHARDS];
#endif
#ifdef TAKEOVER
byte offered_to[TRANSFERS]; /* its target before any takeover */
byte disk_target[TRANSFERS]; /* 1 + ..., 0: it had not begun */
bool disk_retargeted[TRANSFERS];
bool disk_take[TAKEOVER];
byte disk_taker[TAKEOVER];
byte disk_take_version[TAKEOVER];
byte disk_take_from[TAKEOVER];
byte disk_take_base[TAKEOVER];
#ifdef LIFE
byte disk_take_despawn[TAKEOVER];
#endif
#endif

#ifdef WRONG_NO_ROLL_CALL
#define REDIS_SERVES (true)
#else
#define REDIS_SERVES (roll == OPEN)
#endif
#ifdef WIPE
#define MAY_CRASH (!losses && roll != CALLING) /* what is lost while a shard is down has no copy; but not afterwards */
#endif
#if ZOMBIES
#define OLD_LEASE_STANDS(i) (old_lives[i] && !lease_forgotten[i])
#else
#define OLD_LEASE_STANDS(i) (false)
#endif
#define ROLL_LETS_BEGIN(i) (!said[i])
#define TRIMS_HELD(i) (held[i] != 0)
#define NO_HELD(i) (held[i] == 0)
#define ROLL_AT_REST (roll == OPEN && EVERY_SHARD(NO_HELD))

#ifdef WRONG_OLD_FRAMES_TAKEN
#define FRAME_TAKEN(shard, x) (true)
#else
/* Between two shards of one generation. One that has not noticed yet takes what another such one has sent. */
#define FRAME_TAKEN(shard, x) (!outdated[x] || roll == CALLING && !said[shard])
#endif
#define REQUEST_TAKEN(x) (!outdated[x])
#ifdef WRONG_OLD_REQUESTS_EXECUTED
#define ACCEPT_SERVED(x) (true)
#else
#define ACCEPT_SERVED(x) (REDIS_SERVES && REQUEST_TAKEN(x))
#endif
#ifdef WRONG_OLD_ANSWERS_TAKEN
#define LATE_ANSWER_TAKEN(shard) (roll != OPEN)
#else
#define LATE_ANSWER_TAKEN(shard) (roll == CALLING && !said[shard])
#endif
