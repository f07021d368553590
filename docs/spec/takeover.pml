/*
 * Takeover: a living shard takes what a dead one held. One script; to everyone else it is a handoff.
 * Once in a run. The dead shard may come back afterwards, with nothing.
 */
bool taken;          /* has happened */
bool take_entry;     /* the entry in the taker's journal: the dead shard's rows and journal, by reference */
bool take_applied;
byte taker;
byte take_version;   /* 0: nothing was held */
byte take_from;
bool retargeted[TRANSFERS]; /* accepted, and the dead shard's to adopt: the taker's now */

#define TAKES(i) (take_entry && taker == (i))
#define CAN_TRIM_MORE(i) (TAKES(i) && take_applied)
#define AT_REST (!take_entry)

#ifdef WRONG_TAKEOVER_WITHOUT_THE_LEASE
#define MAY_BE_TAKEN(s) (mode[s] != UP)
#else
#define MAY_BE_TAKEN(s) (mode[s] != UP && !OLD_LIVES(s))
#endif

inline takeover_script(u, s) {
  taken = true;
  taker = u;
  take_entry = true;
  take_version = manifest[s];
  take_from = manifest_from[s];
  for (y : 0 .. TRANSFERS - 1) {
    if /* what s held by its own manifest and journal */
    :: y < transfers && source[y] == s && journal_out[y] && offered[y] + 1 > take_version -> take_version = 0
#ifndef WRONG_TAKEOVER_LEAVES_THE_JOURNAL
    :: y < transfers && target[y] == s && journal_in[y] && offered[y] + 1 > take_version ->
       take_version = offered[y] + 1;
       take_from = K(y)
#endif
    :: else
    fi
  }
#ifndef WRONG_TAKEOVER_DOES_NOT_FENCE
  recover_script(s);
  mode[s] = DOWN;
  forget_memory(s);
#endif
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == s -> journal_out[y] = false
    :: else
    fi;
    if
    :: y < transfers && target[y] == s ->
       journal_in[y] = false;
       if
       :: record[y] == ACCEPTED ->
#ifndef WRONG_TAKEOVER_KEEPS_THE_DEAD_AS_HOLDER
          holders[y] = holders[y] & ~BIT(s); /* it may have said ADOPTED */
#endif
          target[y] = u;
          retargeted[y] = true
       :: else
       fi
    :: else
    fi
  }
  manifest[s] = 0;
  manifest_from[s] = 0;
  if
  :: take_version ->
     take_version++;
     handoffs++
  :: else -> take_from = 0
  fi;
#ifdef WRONG_TAKEN_ROW_STARTS_BELOW_K
  take_from = 0;
#endif
  y = 0
}

inline say_adopted_for_the_dead() {
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: retargeted[y] ->
       retargeted[y] = false;
       if
       :: record[y] == ACCEPTED -> incoming[y] = CONTAINED
       :: else
       fi
    :: else
    fi
  }
  y = 0
}

inline take_up(u) { /* its journal says so */
  if
  :: version[u] < take_version ->
     if
     :: leaving[u] -> outgoing[leaving[u] - 1] = GONE /* it went, and comes back */
     :: else
     fi;
     version[u] = take_version;
     from[u] = take_from;
     leaving[u] = 0
  :: else
  fi;
  take_applied = true;
  say_adopted_for_the_dead()
}

inline fold_takeover() {
  if
  :: take_entry && take_version -> consider(take_version, taker)
  :: else
  fi
}

inline rebuild_takeover(i) {
  if
  :: TAKES(i) && take_version && RECOVERY_KEEPS(i, take_version) && version[i] < take_version ->
     version[i] = 0;
     from[i] = 0;
     take_applied = false
  :: TAKES(i) && !(take_version && RECOVERY_KEEPS(i, take_version) && version[i] < take_version) ->
     take_applied = true;
     say_adopted_for_the_dead()
  :: else
  fi
}

inline publish_takeover(i) {
  if
  :: TAKES(i) && take_applied ->
     take_entry = false;
     take_applied = false;
     take_version = 0;
     take_from = 0;
     taker = 0
  :: else
  fi
}

proctype Takeover() {
  byte y;
end:
  do
#define TAKE(u, s) \
  :: d_step { !calm && !taken && REDIS_SERVES && mode[u] == UP && MAY_BE_TAKEN(s) -> takeover_script(u, s) }
  TAKE(0, 1)
  TAKE(1, 0)
#if SHARDS > 2
  TAKE(0, 2)
  TAKE(2, 0)
  TAKE(1, 2)
  TAKE(2, 1)
#endif
  :: d_step { take_entry && !take_applied && mode[taker] == UP -> take_up(taker) }
  od
}
