/*
 * Takeover: a living shard takes what a dead one held. One script, at the operator's word; to everyone else it is a handoff.
 *
 * TAKEOVER times in a run. The dead shard comes back afterwards, with nothing. Its taker may be taken over as well: what it had been
 * given by such an entry, and had not taken up, goes on with what else it held.
 */

inline forget_entry(n) {
  take_entry[n] = false;
  take_applied[n] = false;
  take_version[n] = 0;
  take_from[n] = 0;
  take_base[n] = 0;
  take_read[n] = HAS_NEWS;
  take_settled[n] = false;
#ifdef LIFE
  take_despawn[n] = 0;
#endif
  taker[n] = 0
}

inline gain(its_version, its_from) {
  if
  :: its_version > its -> its = its_version; its_first = its_from; its_base = its_version
  :: else
  fi
}

/* What s holds by its own manifest and journal: `its` version, from `its_first` tick on, `its_base` as for take_base. */
inline holdings(s) {
  its = manifest[s];
  its_first = manifest_from[s];
  its_base = its;
  lost = 0;
#ifdef ROLL_CALL
  gain(held[s], held_from[s]);
#endif
#ifndef WRONG_TAKEOVER_LEAVES_THE_JOURNAL
#ifdef LIFE
  if
  :: spawn_entry[s] -> gain(1, spawn_from)
  :: else
  fi;
#endif
  for (y : 0 .. TAKEOVER - 1) {
    if
    :: TAKES(s, y) && take_version[y] > its ->
       gain(take_version[y], take_from[y]);
       its_base = take_base[y]
    :: else
    fi
  }
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && target[y] == s && journal_in[y] -> gain(offered[y] + 1, K(y))
    :: else
    fi
  }
#endif
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == s && journal_out[y] && offered[y] + 1 > lost -> lost = offered[y] + 1
    :: else
    fi
  }
#ifdef LIFE
  if
  :: despawn_entry[s] > lost -> lost = despawn_entry[s]
  :: else
  fi;
#endif
  if
  :: its <= lost -> its = 0; its_first = 0
  :: else
  fi;
  lost = 0;
  y = 0
}

inline takeover_script(u, s) { /* takeover.lua */
  holdings(s);
  for (y : 0 .. TAKEOVER - 1) { /* entries that s has not taken up lie under the same alias from now on */
    if
    :: TAKES(s, y) ->
#ifdef LIFE
       if
       :: take_despawn[y] > take_despawn[takeovers] -> take_despawn[takeovers] = take_despawn[y]
       :: else
       fi;
#endif
       forget_entry(y)
    :: else
    fi
  }
  take_entry[takeovers] = true;
  taker[takeovers] = u;
  if
  :: its ->
     take_version[takeovers] = its + 1;
     take_from[takeovers] = its_first;
     take_base[takeovers] = its_base;
     handoffs++
  :: else
  fi;
#ifdef WRONG_TAKEN_ROW_STARTS_BELOW_K
  take_from[takeovers] = 0;
#endif
#ifdef LIFE
  if
  :: despawn_entry[s] > take_despawn[takeovers] -> take_despawn[takeovers] = despawn_entry[s]
  :: else
  fi;
  spawn_entry[s] = false;
  spawn_applied[s] = false;
  despawn_entry[s] = 0;
  despawn_applied[s] = false;
#endif
#ifdef ROLL_CALL
  held[s] = 0;
  held_from[s] = 0;
#endif
  takeovers++;
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
  its = 0;
  its_first = 0;
  its_base = 0;
  y = 0
}

inline say_adopted_for_the_dead(u) { /* core/takeover.py, core/overdue.py: once it has taken up all that its journal names */
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: retargeted[y] && target[y] == u && !WAITS_FOR_ANY(u) ->
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

inline take_up(n) { /* the taker's own journal says so */
  t = taker[n];
  if
  :: take_version[n] > version[t] && !take_settled[n] ->
     if
     :: leaving[t] -> outgoing[leaving[t] - 1] = GONE /* it went, and comes back */
     :: else
     fi;
     version[t] = take_version[n];
     from[t] = take_from[n];
     leaving[t] = 0
  :: else
  fi;
  take_applied[n] = true;
  say_adopted_for_the_dead(t);
  t = 0
}

/* Last: whoever has the row above the version under which the dead shard held it has had it from that one, though Redis may
   have forgotten how; and who has despawned it, too. */
inline fold_takeovers() {
  for (y : 0 .. TAKEOVER - 1) {
    if
#ifdef WRONG_LEDGER_COUNTS_WHAT_WAS_TAKEN_AS_ANY_ROW
    :: take_entry[y] && take_version[y] && take_version[y] >= top ->
#else
    :: take_entry[y] && take_version[y] && (take_base[y] > top || take_base[y] == top && top_owner != NOBODY) ->
#endif
       top = take_version[y];
       top_owner = taker[y]
    :: else
    fi
  }
}

/* It takes up what the ledger gives to it and is not here already. What is here may go on while it reads. */
inline ask_fleet(n) {
  take_settled[n] = IS_HERE(taker[n], take_version[n]);
  take_read[n] = HAS_ASKED
}

inline read_fleet(n) {
  fold();
#ifndef WRONG_TAKER_DOES_NOT_COMPARE
  take_settled[n] = take_settled[n] || !KEEPS(taker[n], take_version[n]);
#endif
  take_read[n] = HAS_READ;
  top = 0;
  top_owner = 0
}

inline begin_takeovers_anew(i) { /* by a process that recovers, and after a roll-call: of its journal's entries */
  for (y : 0 .. TAKEOVER - 1) {
    if
    :: TAKES(i, y) ->
       take_applied[y] = false;
       take_read[y] = HAS_NEWS;
       take_settled[y] = false
    :: else
    fi
  }
  y = 0
}

inline publish_takeovers(i) {
  for (y : 0 .. TAKEOVER - 1) {
    if
    :: TRIMS_ENTRY(i, y) -> forget_entry(y)
    :: else
    fi
  }
  y = 0
}

proctype Takeover() {
  byte y, t, top, top_owner, its, its_first, its_base, lost;
end:
  do
#define TAKE(u, s) \
  :: d_step { \
       !calm && takeovers < TAKEOVER && REDIS_SERVES && mode[u] == UP && MAY_BE_TAKEN(s) -> \
       takeover_script(u, s) \
     }
#ifndef BY_THE_THIRD
  TAKE(0, 1)
  TAKE(1, 0)
#endif
#if SHARDS > 2
  TAKE(2, 0)
  TAKE(2, 1)
#ifndef BY_THE_THIRD
  TAKE(0, 2)
  TAKE(1, 2)
#endif
#endif
#define MAY_READ(n) (take_entry[n] && REDIS_SERVES && mode[taker[n]] == UP && ALL_TRANSFERS(READ_BEFORE))
#define TAKES_UP(n) \
  :: d_step { take_read[n] == HAS_NEWS && MAY_READ(n) -> ask_fleet(n) } \
  :: d_step { take_read[n] == HAS_ASKED && MAY_READ(n) -> read_fleet(n) } \
  :: d_step { take_read[n] == HAS_READ && !take_applied[n] && mode[taker[n]] == UP -> take_up(n) }
  TAKES_UP(0)
#if TAKEOVER > 1
  TAKES_UP(1)
#endif
  od
}
