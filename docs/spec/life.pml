/* Spawn and despawn: the registry of living ids, the journal's `spawn` and `despawn`. The entity may live LIFE times. */
byte lives = LIFE; /* still to come */
bool alive;        /* the id is in the registry */
bool id_taken;     /* despawned, and the id may not be used again yet */
bool spawn_entry[SHARDS];
bool spawn_applied[SHARDS];
byte spawn_from;
byte despawn_entry[SHARDS]; /* the version, 0: none */
bool despawn_applied[SHARDS];
byte despawn_asked[SHARDS]; /* the version that the shard wants to see gone; its row stays until this is answered */

#define MAY_BEGIN(i) (despawn_asked[i] == 0)
#define ALL_APPLIED_OF(i, y) (!ENTRY(i, y) || APPLIED(i, y))
#if TRANSFERS == 1
#define ALL_APPLIED(i) (ALL_APPLIED_OF(i, 0))
#else
#define ALL_APPLIED(i) (ALL_APPLIED_OF(i, 0) && ALL_APPLIED_OF(i, 1))
#endif
#define CAN_TRIM_MORE(i) \
  (spawn_entry[i] && spawn_applied[i] || despawn_entry[i] && despawn_applied[i] && ALL_APPLIED(i))
#define EXPECTED_OWNERS (alive)
#define NO_LIFE_ENTRIES (!spawn_entry[0] && !spawn_entry[1] && !despawn_entry[0] && !despawn_entry[1])
#define AT_REST (NO_LIFE_ENTRIES)

#ifdef WRONG_DESPAWN_OF_A_PASSING_ROW
#define MAY_DESPAWN(i) (version[i] != 0)
#else
#define MAY_DESPAWN(i) (ROW_STAYS(i))
#endif
#ifdef WRONG_ID_FREE_AT_ONCE
#define ID_FREE (true)
#else
/* Decision 0010: no journal has an entry as old as the despawn. And no request for it is under way, for a minute. */
#define ID_FREE (ALL_TRANSFERS(JOURNAL_EMPTY) && NO_LIFE_ENTRIES && !despawn_asked[0] && !despawn_asked[1])
#endif

inline spawn_script(i) { /* spawn.lua: into the journal of whoever claims the cell */
  alive = true;
  lives--;
  handoffs = 0;
  spawn_entry[i] = true;
  spawn_applied[i] = false;
  spawn_from = transfers /* a later life begins after the switches of the former ones */
}

inline despawn_script(i) { /* despawn.lua */
  alive = false;
  id_taken = true;
  despawn_entry[i] = despawn_asked[i];
  despawn_applied[i] = false
}

inline fold_life() {
  for (y : 0 .. SHARDS - 1) {
    if
    :: spawn_entry[y] -> consider(1, y)
    :: else
    fi
  }
  for (y : 0 .. SHARDS - 1) {
    if
    :: despawn_entry[y] && despawn_entry[y] >= top -> top = despawn_entry[y]; top_owner = NOBODY
    :: else
    fi
  }
}

inline rebuild_life(i) {
  spawn_applied[i] = spawn_entry[i] && !(RECOVERY_KEEPS(i, 1) && version[i] == 0);
  despawn_applied[i] = (despawn_entry[i] != 0)
}

inline publish_life(i) {
  if
  :: despawn_applied[i] && ALL_APPLIED(i) -> despawn_entry[i] = 0; despawn_applied[i] = false
  :: else
  fi;
  if
  :: spawn_applied[i] -> spawn_entry[i] = false; spawn_applied[i] = false
  :: else
  fi
}

proctype Life(byte i) {
end:
  do
  /* Executed again, it is refused: DUPLICATE. */
#ifdef WRONG_SPAWN_WITHOUT_REGISTRY
  :: d_step { !calm && lives && mode[i] == UP -> spawn_script(i) }
#else
  :: d_step { !calm && lives && !alive && !id_taken && mode[i] == UP -> spawn_script(i) }
#endif
  :: d_step { !calm && id_taken && lives && ID_FREE -> id_taken = false }
  :: d_step { /* the journal says so; nothing is done where such a row is here already */
       mode[i] == UP && spawn_entry[i] && !spawn_applied[i] ->
       if
       :: version[i] == 0 -> version[i] = 1; from[i] = spawn_from
       :: else
       fi;
       spawn_applied[i] = true
     }

  :: d_step { !calm && mode[i] == UP && MAY_DESPAWN(i) && despawn_asked[i] == 0 ->
       despawn_asked[i] = version[i];
#ifdef WRONG_ROW_GOES_BEFORE_THE_ANSWER
       forget_memory(i)
#endif
     }
#ifdef WRONG_ROW_GOES_BEFORE_THE_ANSWER
  :: d_step { !calm && despawn_asked[i] && alive -> despawn_script(i) } /* nothing is left that would repeat it */
#else
  :: d_step { despawn_asked[i] && alive -> despawn_script(i) } /* repeated until it is answered */
#endif
  :: d_step { mode[i] == UP && despawn_asked[i] && !alive -> /* answered */
       if
       :: version[i] -> forget_memory(i)
       :: else
       fi;
       despawn_asked[i] = 0
     }
  :: d_step { mode[i] == UP && despawn_entry[i] && !despawn_applied[i] -> /* its own journal */
       if
       :: version[i] && version[i] <= despawn_entry[i] -> forget_memory(i)
       :: else
       fi;
       despawn_applied[i] = true
     }
  od
}
