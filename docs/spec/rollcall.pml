/*
 * Redis that restarted, fell back to an earlier state or was wiped, and the roll-call that follows.
 *
 * Its run_id is another then. Scripts of the former generation are refused for ever. For one full lease only REJOIN runs: each
 * living shard tells what it knows, as entries in journals. Then nothing changes any more: each reads what all have said,
 * ends its doubts by it, and takes up what the ledger says is its own. When all have, the world is open again.
 */
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
#define MAY_BEGIN(i) (!said[i])
#define CAN_TRIM_MORE(i) (held[i] != 0)
#define AT_REST (roll == OPEN && held[0] == 0 && held[1] == 0)

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
  y = 0
}

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
    :: y < transfers && source[y] == i && source_current[y] && (outgoing[y] == AGREED || outgoing[y] == GONE) ->
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
  y = 0
}

inline fold_held() {
  for (y : 0 .. SHARDS - 1) {
    if
    :: held[y] -> consider(held[y], y)
    :: else
    fi
  }
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
     assert(version[i] == 0);
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
  ready[i] = true;
  top = 0;
  top_owner = 0;
  y = 0
}

#define HAS_SAID(i) (mode[i] != UP || said[i])
#define IS_READY(i) (mode[i] != UP || ready[i])

proctype RollCall() {
  byte y, top, top_owner;
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
  REJOINS(0)
  REJOINS(1)

  /* One full lease: whoever has not said anything by then simulates nothing any more. */
#if ZOMBIES && !defined(WRONG_ROLL_CALL_SHORTER_THAN_A_LEASE)
  :: d_step { roll == CALLING && HAS_SAID(0) && HAS_SAID(1) && !old_lives[0] && !old_lives[1] -> roll = CLOSED }
#else
  :: d_step { roll == CALLING && HAS_SAID(0) && HAS_SAID(1) -> roll = CLOSED }
#endif

#define CONCLUDES(i) \
  :: d_step { roll == CLOSED && mode[i] == UP && !ready[i] -> conclude(i) }
  CONCLUDES(0)
  CONCLUDES(1)
  :: d_step {
       roll == CLOSED && IS_READY(0) && IS_READY(1) ->
       roll = OPEN;
       said[0] = false;
       said[1] = false;
       ready[0] = false;
       ready[1] = false
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
  MISSES(0)
  MISSES(1)
#endif
  od
}
