/*
 * Redis' scripts, each one atomic step: shard/shardfleet_shard/store/scripts/NAME.lua.
 *
 * A request may be executed at any time after it was sent, as often as the network likes, or never; its answer may be
 * lost. So each script is offered to the scheduler twice: executed, and executed with its answer heard. An answer that
 * comes late says nothing else than the script would say if it were executed again then: what these scripts answer stays
 * true. (Not so after Redis has forgotten something: there answers of the former generation are dropped.)
 */
inline forget(x) { /* _transfer.lua: the record's end, however it came */
  record[x] = ABSENT;
  holders[x] = 0;
  decided[x] = true
}

inline clear_if_target_alone(x) {
  if
  :: record[x] == ACCEPTED && holders[x] == BIT(target[x]) -> forget(x)
  :: else
  fi
}

inline begin_script(x) { /* begin.lua */
  if
  :: record[x] == STARTED -> answer = SAYS_STARTED
  :: record[x] == ACCEPTED -> answer = SAYS_ACCEPTED
  :: record[x] == ABSENT && decided[x] -> answer = SAYS_DECIDED
  :: record[x] == ABSENT && !decided[x] ->
     record[x] = STARTED;
     holders[x] = BIT(source[x]);
     answer = SAYS_STARTED
  fi
}

inline accept_record(x) {
  record[x] = ACCEPTED;
  was_accepted[x] = true;
  handoffs++;
  journal_in[x] = true;
  journal_out[x] = true
}

inline accept_script(x) { /* accept.lua, by the epoch that the offer was made to */
  if
  :: record[x] == ACCEPTED -> answer = SAYS_ACCEPTED
  :: record[x] != ACCEPTED && !CURRENT(source_current[x]) -> answer = SAYS_DECIDED
  :: record[x] == ABSENT && CURRENT(source_current[x]) ->
     answer = (decided[x] -> SAYS_DECIDED : SAYS_NOT_YET)
  :: record[x] == STARTED && CURRENT(source_current[x]) ->
     accept_record(x);
     answer = SAYS_ACCEPTED
  fi
}

inline reject_script(x) { /* reject.lua; also accept.lua where the cell is not claimed any more */
  if
  :: record[x] == ACCEPTED -> answer = SAYS_ACCEPTED
  :: record[x] == STARTED -> forget(x); answer = SAYS_DECIDED
  :: record[x] == ABSENT -> decided[x] = true; answer = SAYS_DECIDED
  fi
}

inline cancel_script(x) { /* cancel.lua */
  if
#ifdef WRONG_CANCEL_WITHOUT_COMPARING
  :: record[x] == ACCEPTED -> forget(x); answer = SAYS_CANCELED
#else
  :: record[x] == ACCEPTED -> answer = SAYS_ACCEPTED
#endif
  :: record[x] == STARTED -> forget(x); answer = SAYS_CANCELED
  :: record[x] == ABSENT ->
#ifndef WRONG_CANCEL_LEAVES_NO_TRACE
     decided[x] = true;
#endif
     answer = SAYS_CANCELED
  fi
}

inline adopted_script(x) { /* adopted.lua */
  if
  :: record[x] == ACCEPTED ->
     holders[x] = holders[x] | BIT(target[x]);
     clear_if_target_alone(x)
  :: else
  fi
}

inline released_script(x) { /* released.lua */
  if
  :: record[x] == ACCEPTED ->
     holders[x] = holders[x] & ~BIT(source[x]);
     clear_if_target_alone(x)
  :: else
  fi
}

inline recover_script(i) { /* recover.lua: fences the former process, settles what it began */
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: y < transfers && source[y] == i ->
       source_current[y] = false;
#ifdef ROLL_CALL
       late_cancel[y] = SILENCE;
#endif
       outgoing[y] = KEPT; /* what the former process still asks is refused from here on */
       if
       :: record[y] == STARTED -> forget(y)
#ifndef WRONG_RECOVER_KEEPS_SOURCE_AS_HOLDER
       :: record[y] == ACCEPTED ->
          holders[y] = holders[y] & ~BIT(i);
          clear_if_target_alone(y)
#endif
       :: else
       fi
    :: else
    fi;
    if
    :: y < transfers && target[y] == i ->
       target_current[y] = false;
#ifdef ROLL_CALL
       late_accept[y] = SILENCE;
#endif
       incoming[y] = UNHEARD;
       if
       :: record[y] == STARTED -> forget(y)
       :: else
       fi
    :: else
    fi
  }
#ifdef LIFE
  despawn_asked[i] = 0;
#ifdef ROLL_CALL
  despawned[i] = 0;
  late_despawn[i] = false;
  despawn_outdated[i] = false;
#endif
#endif
#ifdef LATE_PUBLISH
  late[i] = NONE;
  late_version[i] = 0;
  late_from[i] = 0;
  late_trim[i] = 0;
#endif
  y = 0
}

inline overtake_late_publish(i) {
#ifdef LATE_PUBLISH
  if
  :: late[i] == ON_ITS_WAY -> late[i] = OLDER
  :: else
  fi
#else
  skip
#endif
}

inline publish_script(i, its_version, its_from, trim) { /* publish.lua; trim: a bit each transfer whose entry is contained */
  manifest[i] = its_version;
  manifest_from[i] = (its_version -> its_from : 0);
  for (y : 0 .. TRANSFERS - 1) {
    if
    :: trim & BIT(y) ->
       if
       :: y < transfers && source[y] == i -> journal_out[y] = false
       :: else
       fi;
       if
       :: y < transfers && target[y] == i -> journal_in[y] = false
       :: else
       fi
    :: else
    fi
  }
  y = 0
}
