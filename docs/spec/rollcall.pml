/*
 * Redis that restarted, fell back to an earlier state or was wiped, and the roll-call that follows.
 *
 * Its run_id is another then. Scripts of the former generation are refused for ever. For one full lease only REJOIN runs: each
 * living shard tells what it knows, as entries in journals. Then nothing changes any more: each reads what all have said,
 * ends its doubts by it, and takes up what the ledger says is its own. When all have, the world is open again.
 */

#ifdef LIFE
inline write_disk_life() {
  disk_alive = alive;
  disk_id_taken = id_taken;
  for (y : 0 .. SHARDS - 1) {
    disk_spawn[y] = spawn_entry[y];
    disk_despawn[y] = despawn_entry[y]
  }
}

inline read_disk_life() {
  alive = disk_alive;
  id_taken = disk_id_taken;
  disk_alive = false;
  disk_id_taken = false;
  for (y : 0 .. SHARDS - 1) {
    spawn_entry[y] = disk_spawn[y];
    despawn_entry[y] = disk_despawn[y];
    spawn_applied[y] = false;
    despawn_applied[y] = false;
    disk_spawn[y] = false;
    disk_despawn[y] = 0
  }
}
#endif

#ifdef TAKEOVER
inline write_disk_takeovers() {
  for (y : 0 .. TRANSFERS - 1) {
    disk_target[y] = (y < transfers -> target[y] + 1 : 0);
    disk_retargeted[y] = retargeted[y]
  }
  for (y : 0 .. TAKEOVER - 1) {
    disk_take[y] = take_entry[y];
    disk_taker[y] = taker[y];
    disk_take_version[y] = take_version[y];
    disk_take_from[y] = take_from[y];
    disk_take_base[y] = take_base[y];
#ifdef LIFE
    disk_take_despawn[y] = take_despawn[y];
#endif
  }
}

inline read_disk_takeovers() {
  for (y : 0 .. TRANSFERS - 1) {
    t = (disk_target[y] -> disk_target[y] - 1 : offered_to[y]);
    if /* what the taker made of it is nobody's any more */
    :: target[y] != t -> target[y] = t; incoming[y] = UNHEARD
    :: else
    fi;
    retargeted[y] = disk_retargeted[y];
    disk_target[y] = 0;
    disk_retargeted[y] = false
  }
  t = 0;
  for (y : 0 .. TAKEOVER - 1) {
    forget_entry(y);
    if
    :: disk_take[y] ->
       take_entry[y] = true;
       taker[y] = disk_taker[y];
       take_version[y] = disk_take_version[y];
       take_from[y] = disk_take_from[y];
       take_base[y] = disk_take_base[y];
       disk_take_base[y] = 0;
#ifdef LIFE
       take_despawn[y] = disk_take_despawn[y];
       disk_take_despawn[y] = 0;
#endif
       disk_take[y] = false;
       disk_taker[y] = 0;
       disk_take_version[y] = 0;
       disk_take_from[y] = 0
    :: else
    fi
  }
}
#endif

inline write_disk() {
  on_disk = true;
  for (y : 0 .. TRANSFERS - 1) {
    disk_record[y] = record[y];
    disk_decided[y] = decided[y];
    disk_holders[y] = holders[y];
    disk_in[y] = journal_in[y];
    disk_out[y] = journal_out[y]
  }
  for (y : 0 .. SHARDS - 1) {
    disk_manifest[y] = manifest[y];
    disk_from[y] = manifest_from[y];
    disk_held[y] = held[y];
    disk_held_from[y] = held_from[y]
  }
#ifdef LIFE
  write_disk_life();
#endif
#ifdef TAKEOVER
  write_disk_takeovers();
#endif
  y = 0
}

inline read_disk() {
  on_disk = false;
  for (y : 0 .. TRANSFERS - 1) {
    record[y] = disk_record[y];
    decided[y] = disk_decided[y];
    holders[y] = disk_holders[y];
    journal_in[y] = disk_in[y];
    journal_out[y] = disk_out[y];
    disk_record[y] = ABSENT;
    disk_decided[y] = false;
    disk_holders[y] = 0;
    disk_in[y] = false;
    disk_out[y] = false
  }
  for (y : 0 .. SHARDS - 1) {
    manifest[y] = disk_manifest[y];
    manifest_from[y] = disk_from[y];
    held[y] = disk_held[y];
    held_from[y] = disk_held_from[y];
    disk_manifest[y] = 0;
    disk_from[y] = 0;
    disk_held[y] = 0;
    disk_held_from[y] = 0
  }
#ifdef LIFE
  read_disk_life();
#endif
#ifdef TAKEOVER
  read_disk_takeovers();
#endif
  y = 0
}

inline lose() {
  losses--;
  read_disk();
  roll = CALLING;
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers -> outdated[y] = true
    :: else
    fi
  }
  for (y : 0 .. SHARDS - 1) {
    said[y] = false;
    ready[y] = false;
#ifdef LIFE
    despawn_outdated[y] = (despawn_asked[y] != 0);
#endif
    if
    :: mode[y] == FENCING || mode[y] == REBUILT -> crash(y) /* recovers again once the world is open */
    :: else
    fi;
#if ZOMBIES
    lease_forgotten[y] = old_lives[y];
#endif
  }
  y = 0
}

#define GIVES(x) (source_current[x] && (outgoing[x] == AGREED || outgoing[x] == GONE))

/* "Accepted", said by one who knows: where Redis has no such record, entries go into both journals. */
inline say_known(x, with_rows) {
  if /* what is decided is forgotten with the source's epoch */
  :: record[x] != ACCEPTED && !(decided[x] && source_current[x]) ->
     if
     :: with_rows -> journal_in[x] = true
     :: else
     fi;
     journal_out[x] = true
  :: else
  fi
}

inline drop_what_is_late(i) { /* from now on answers and frames of a former generation are dropped */
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == i ->
#ifndef WRONG_OLD_ANSWERS_TAKEN
       late_cancel[y] = SILENCE;
#endif
#ifndef WRONG_OLD_FRAMES_TAKEN
       says_accepted[y] = false;
       says_never[y] = false;
#endif
       skip
    :: else
    fi;
    if
    :: y < transfers && target[y] == i ->
#ifndef WRONG_OLD_ANSWERS_TAKEN
       late_accept[y] = SILENCE;
#endif
       skip
    :: else
    fi
  }
#ifdef LIFE
#ifndef WRONG_OLD_ANSWERS_TAKEN
  late_despawn[i] = false;
#endif
  despawn_outdated[i] = false; /* it asks anew */
#endif
  y = 0
}

#ifdef LIFE
/* It says of transfer x with which rows. */
#define BRINGS(i, x) ((x) < transfers && (source[x] == (i) && GIVES(x) || target[x] == (i) && incoming[x] == AGREED_TO))
#if TRANSFERS == 1
#define EXISTS_TRANSFER(property, i) (property(i, 0))
#else
#define EXISTS_TRANSFER(property, i) (property(i, 0) || property(i, 1))
#endif

inline say_what_lives(i) { /* into the registry, and out of it */
  if
  :: (version[i] || EXISTS_TRANSFER(BRINGS, i)) && !id_taken -> alive = true
  :: else
  fi;
#ifndef WRONG_DESPAWN_IS_NOT_SAID_AGAIN
  if
  :: despawned[i] ->
     alive = false;
     id_taken = true;
     despawn_entry[i] = despawned[i]
  :: else
  fi
#endif
}

inline read_life_anew(i) {
  spawn_applied[i] = spawn_entry[i] && (version[i] || !KEEPS(i, 1));
  despawn_applied[i] = false
}
#endif

inline rejoin_script(i) {
  said[i] = true;
  drop_what_is_late(i);
#ifndef WRONG_ROLL_CALL_WITHOUT_ROWS
  if
  :: version[i] -> held[i] = version[i]; held_from[i] = from[i]
  :: else
  fi;
#endif
  for (y : 0 .. TRANSFERS - 1) {
#ifndef WRONG_SOURCE_DOES_NOT_REASSERT
    if /* AGREED, or gone by this very process: its shadow */
    :: y < transfers && source[y] == i && GIVES(y) ->
       say_known(y, true)
    :: else
    fi;
#endif
#ifndef WRONG_TARGET_DOES_NOT_REASSERT
    if
    :: y < transfers && target[y] == i && incoming[y] == AGREED_TO -> say_known(y, true)
    :: y < transfers && target[y] == i && incoming[y] == ADOPTED -> say_known(y, false)
    :: else
    fi
#endif
  }
#ifdef WRONG_REJOIN_OVERWRITES_ROWS
  manifest[i] = version[i];
  manifest_from[i] = from[i];
#endif
#ifdef LIFE
  say_what_lives(i);
#endif
  y = 0
}

inline rebuild_held(i) { /* an entry with rows, like `in`; newer than the manifest */
  if
  :: held[i] > version[i] && RECOVERY_KEEPS(i, held[i]) -> version[i] = held[i]; from[i] = RECOVERED_FROM(held_from[i])
  :: else
  fi
}

/* Every doubt ends by what all have said: nobody can accept or cancel any more what was open before. */
inline conclude_transfers(i) {
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == i && IN_DOUBT(y) ->
       if
       :: journal_out[y] || leaving[i] == y + 1 && !KEEPS(i, version[i]) -> learn_accepted(y)
       :: else -> learn_kept(y)
       fi
    :: y < transfers && source[y] == i && outgoing[y] == WITHDRAWN -> outgoing[y] = KEPT
    :: else
    fi;
    if
    :: y < transfers && target[y] == i && ASKING(y) ->
       if
       :: journal_in[y] -> incoming[y] = AGREED_TO
       :: else -> refuse(y)
       fi
    :: else
    fi
  }
}

inline take_up_own(i) { /* what the ledger says is this shard's, and is not here */
  if
  :: version[i] && leaving[i] == 0 && !KEEPS(i, version[i]) -> forget_memory(i)
  :: else
  fi;
#ifndef WRONG_NOBODY_TAKES_UP_THE_UNCLAIMED
  if
  :: version[i] < top && top_owner == i && manifest[i] == top ->
     assert(every_pair_in_the_table || version[i] == 0);
     version[i] = top;
     from[i] = manifest_from[i]
  :: version[i] < top && top_owner == i && manifest[i] != top && held[i] == top ->
     version[i] = top;
     from[i] = held_from[i]
  :: else
  fi;
#endif
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && target[y] == i && journal_in[y] && incoming[y] != AGREED_TO ->
       if
#ifndef WRONG_NOBODY_TAKES_UP_THE_UNCLAIMED
       :: version[i] <= offered[y] && KEEPS(i, offered[y] + 1) -> incoming[y] = AGREED_TO
#endif
       :: else -> incoming[y] = (incoming[y] == ADOPTED -> ADOPTED : CONTAINED)
       fi
    :: y < transfers && target[y] == i && !journal_in[y] && record[y] == ACCEPTED &&
       incoming[y] != AGREED_TO && incoming[y] != ADOPTED ->
       incoming[y] = CONTAINED
    :: else
    fi;
    if
    :: y < transfers && source[y] == i && journal_out[y] && outgoing[y] == KEPT -> outgoing[y] = GONE
    :: else
    fi
  }
}

inline settle_records(i) { /* CloseRollCall with `ready` */
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && (source[y] == i || target[y] == i) && record[y] == STARTED -> forget(y)
    :: y < transfers && source[y] == i && record[y] == ACCEPTED && (outgoing[y] == KEPT || outgoing[y] == GONE) ->
       holders[y] = holders[y] & ~BIT(i);
       clear_if_target_alone(y)
    :: else
    fi;
    if
    :: y < transfers && source[y] == i && record[y] != ACCEPTED -> decided[y] = true
    :: else
    fi
  }
}

inline conclude(i) {
  fold();
  conclude_transfers(i);
  take_up_own(i);
  settle_records(i);
#ifdef LIFE
  read_life_anew(i);
#endif
#ifdef TAKEOVER
  begin_takeovers_anew(i);
#endif
  ready[i] = true;
  top = 0;
  top_owner = 0;
  y = 0
}

#define HAS_SAID(i) (mode[i] != UP || said[i])
#define IS_READY(i) (mode[i] != UP || ready[i])
#if ZOMBIES && !defined(WRONG_ROLL_CALL_SHORTER_THAN_A_LEASE)
#define LEASE_HAS_ENDED(i) (!old_lives[i])
#define LEASES_HAVE_ENDED (EVERY_SHARD(LEASE_HAS_ENDED))
#else
#define LEASES_HAVE_ENDED (true)
#endif

proctype RollCall() {
  byte y, t, top, top_owner;
end:
  do
#ifdef WIPE
  :: d_step { !calm && losses -> lose() } /* the disk is empty */
#else
  :: d_step { !calm && losses && !on_disk -> write_disk() }
  :: d_step { !calm && losses && on_disk -> lose() } /* also in the middle of a roll-call, which then begins anew */
#endif

#ifdef WRONG_NO_ROLL_CALL
  :: d_step { roll == CALLING -> roll = OPEN }
#else
#define REJOINS(i) \
  :: d_step { roll == CALLING && mode[i] == UP && !said[i] -> rejoin_script(i) }
  STEPS_OF_EACH_SHARD(REJOINS)

  /* One full lease: whoever has not said anything by then simulates nothing any more. */
  :: d_step { roll == CALLING && EVERY_SHARD(HAS_SAID) && LEASES_HAVE_ENDED -> roll = CLOSED }

#define CONCLUDES(i) \
  :: d_step { roll == CLOSED && mode[i] == UP && !ready[i] -> conclude(i) }
  STEPS_OF_EACH_SHARD(CONCLUDES)
  :: d_step {
       roll == CLOSED && EVERY_SHARD(IS_READY) ->
       roll = OPEN;
       for (y : 0 .. SHARDS - 1) {
         said[y] = false;
         ready[y] = false
       }
       y = 0
     }
#endif

#if ZOMBIES
  /* A shard that is cut off from Redis all through the roll-call: its process goes on until its lease ends. */
#define MISSES(i) \
  :: d_step { \
       !calm && crashes && zombies && roll == CALLING && mode[i] == UP && !said[i] -> \
       crashes--; \
       zombies--; \
       leave_old_process(i); \
       lease_forgotten[i] = true \
     }
  STEPS_OF_EACH_SHARD(MISSES)
#endif
  od
}
