/* Of life.pml: what there is more, and words for it. */
byte lives = LIFE; /* still to come */
bool alive;        /* the id is in the registry */
bool id_taken;     /* despawned, and the id may not be used again yet */
bool spawn_entry[SHARDS];
bool spawn_applied[SHARDS];
byte spawn_from;
byte despawn_entry[SHARDS]; /* the version, 0: none */
bool despawn_applied[SHARDS];
byte despawn_asked[SHARDS]; /* the version that the shard wants to see gone; its row stays until this is answered */

#ifdef ROLL_CALL
byte despawned[SHARDS];    /* a shadow: the version of the row that this very process has seen despawned */
bool late_despawn[SHARDS]; /* the answer 'despawned' is on its way */
bool despawn_outdated[SHARDS]; /* what was asked was asked of a former generation */
#define DESPAWN_TAKEN_FROM(i) (REDIS_SERVES && !despawn_outdated[i])
#endif

#define LIFE_LETS_BEGIN(i) (despawn_asked[i] == 0)
#define TRIMS_SPAWN(i) (spawn_entry[i] && spawn_applied[i])
#define TRIMS_DESPAWN(i) \
  (despawn_entry[i] && despawn_applied[i] && ALL_APPLIED(i) && !BEHIND_A_TAKEOVER(i, despawn_entry[i] + 1))
#define TRIMS_LIFE(i) (TRIMS_SPAWN(i) || TRIMS_DESPAWN(i))
#define EXPECTED_OWNERS (alive)
#define NO_LIFE_ENTRY(i) (!spawn_entry[i] && !despawn_entry[i])
#define LIFE_AT_REST (EVERY_SHARD(NO_LIFE_ENTRY))
#define NONE_ASKS(i) (!despawn_asked[i])

#ifdef WRONG_DESPAWN_OF_A_PASSING_ROW
#define MAY_DESPAWN(i) (version[i] != 0)
#else
#define MAY_DESPAWN(i) (ROW_STAYS(i))
#endif
#ifdef WRONG_ID_FREE_AT_ONCE
#define ID_FREE (true)
#else
/* Decision 0010: no journal has an entry as old as the despawn. And no request for it is under way, for a minute. */
#define ID_FREE (ALL_TRANSFERS(JOURNAL_EMPTY) && LIFE_AT_REST && NO_TAKEOVER_ENTRIES && EVERY_SHARD(NONE_ASKS))
#endif
#ifdef ROLL_CALL
#define DESPAWN_ANSWERED(i) (REDIS_SERVES && !alive || LATE_ANSWER_TAKEN(i) && late_despawn[i])
#else
#define DESPAWN_TAKEN_FROM(i) (true)
#define DESPAWN_ANSWERED(i) (!alive)
#endif
