/* Spawn and despawn: the registry of living ids, the journal's `spawn` and `despawn`. The entity may live LIFE times. */

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
#ifdef ROLL_CALL
  late_despawn[i] = true;
#endif
  despawn_applied[i] = false
}

inline despawn_row(i) {
#ifdef ROLL_CALL
  despawned[i] = version[i];
#endif
  forget_memory(i)
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
#ifdef TAKEOVER
  for (y : 0 .. TAKEOVER - 1) {
    if
    :: take_despawn[y] && take_despawn[y] >= top -> top = take_despawn[y]; top_owner = NOBODY
    :: else
    fi
  }
#endif
}

inline rebuild_life(i) {
  spawn_applied[i] = spawn_entry[i] && !(RECOVERY_KEEPS(i, 1) && version[i] == 0);
  despawn_applied[i] = (despawn_entry[i] != 0)
}

inline publish_life(i) {
  if
  :: TRIMS_DESPAWN(i) -> despawn_entry[i] = 0; despawn_applied[i] = false
  :: else
  fi;
  if
  :: TRIMS_SPAWN(i) -> spawn_entry[i] = false; spawn_applied[i] = false
  :: else
  fi
}

proctype Life(byte i) {
end:
  do
  /* Executed again, it is refused: DUPLICATE. */
#ifdef WRONG_SPAWN_WITHOUT_REGISTRY
  :: d_step { !calm && lives && REDIS_SERVES && mode[i] == UP -> spawn_script(i) }
#else
  :: d_step { !calm && lives && REDIS_SERVES && !alive && !id_taken && mode[i] == UP -> spawn_script(i) }
#endif
  :: d_step { !calm && id_taken && lives && ID_FREE -> id_taken = false }
  :: d_step { /* the journal says so; nothing is done where such a row is here already */
       mode[i] == UP && REDIS_SERVES && spawn_entry[i] && !spawn_applied[i] ->
       if
       :: version[i] == 0 -> version[i] = 1; from[i] = spawn_from
       :: else
       fi;
       spawn_applied[i] = true
     }

  :: d_step { !calm && mode[i] == UP && MAY_DESPAWN(i) && despawn_asked[i] == 0 ->
       despawn_asked[i] = version[i];
#ifdef ROLL_CALL
       despawn_outdated[i] = (roll != OPEN && !said[i]);
#endif
#ifdef WRONG_ROW_GOES_BEFORE_THE_ANSWER
       forget_memory(i)
#endif
     }
#ifdef WRONG_ROW_GOES_BEFORE_THE_ANSWER
  :: d_step { !calm && despawn_asked[i] && alive -> despawn_script(i) } /* nothing is left that would repeat it */
#else
  :: d_step { DESPAWN_TAKEN_FROM(i) && despawn_asked[i] && alive -> despawn_script(i) } /* repeated until it is answered */
#endif
  :: d_step { mode[i] == UP && DESPAWN_ANSWERED(i) && despawn_asked[i] ->
       if
       :: version[i] -> despawn_row(i)
       :: else
       fi;
       despawn_asked[i] = 0;
#ifdef ROLL_CALL
       despawn_outdated[i] = false
#endif
     }
  :: d_step { mode[i] == UP && REDIS_SERVES && despawn_entry[i] && !despawn_applied[i] -> /* its own journal */
       if
       :: version[i] && version[i] <= despawn_entry[i] -> despawn_row(i)
       :: else
       fi;
       despawn_applied[i] = true
     }
  od
}
